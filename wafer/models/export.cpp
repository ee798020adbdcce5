#include "wafer/models/export.h"

#include "wafer/models/saved_model.h"
#include "wafer/train/tensor_file.h"

namespace wafer::models {

std::filesystem::path export_onnx(const std::filesystem::path& path, const Model& model,
                                  onnx::ExportOptions options) {
  Graph graph = saved_graph(model);
  nn::StateDict state = model.module->state_dict();
  std::vector<onnx::ExportInput> inputs;
  for (const Tensor& input : graph.inputs) {
    bool weight = inputs.size() + 1 < graph.inputs.size();
    const std::string& name = input.node().attr<InputAttrs>().name;
    inputs.push_back(weight ? onnx::ExportInput{name, state.at(name)} : onnx::ExportInput{"input"});
  }
  if (!model.name.empty()) options.name = model.name;
  return onnx::export_model(path, graph, inputs, {"output"}, options);
}

void export_weights(const std::filesystem::path& path, const Model& model) {
  std::vector<NamedMemory> tensors;
  std::vector<std::shared_ptr<Storage>> memory;
  nn::StateDict state = model.module->state_dict();
  for (const auto& [name, tensor] : state) {
    tensor.eval();
    memory.push_back(on_host(tensor.storage()));
    tensors.push_back({name, tensor.type(), memory.back()->data()});
  }
  write_tensor_file(path, tensors, {{"format", "pt"}});
}

}  // namespace wafer::models
