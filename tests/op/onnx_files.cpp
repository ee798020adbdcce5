#include "tests/op/onnx_files.h"

#include <nlohmann/json.hpp>

#include "tests/op/run.h"
#include "wafer/io/file.h"
#include "wafer/io/npy.h"
#include "wafer/op/op.h"

namespace wafer::op_tests {

namespace {
std::vector<std::string> output_names(const Graph& graph) {
  std::vector<std::string> names;
  for (size_t i = 0; i < graph.outputs.size(); ++i) names.push_back(str("y", i));
  return names;
}

std::vector<onnx::ExportInput> names_of(size_t count) {
  std::vector<onnx::ExportInput> names;
  for (size_t i = 0; i < count; ++i) names.push_back({str("x", i)});
  return names;
}

// Empty for a dtype that NumPy lacks.
std::string descr_of(DType dtype) {
  if (dtype == DType::bf16) return "";
  std::string kind = dtype == DType::boolean ? "b"
                     : is_floating(dtype)    ? "f"
                     : is_signed(dtype)      ? "i"
                                             : "u";
  int bytes = bits(dtype) / 8;
  return (bytes == 1 ? "|" : "<") + kind + std::to_string(bytes);
}

bool write_arrays(const std::filesystem::path& folder, char letter,
                  const std::vector<Tensor>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    std::string descr = descr_of(values[i].dtype());
    if (descr.empty()) return false;
    auto* data = static_cast<const uint8_t*>(values[i].storage()->data());
    io::write_npy(folder / str(letter, i, ".npy"), descr, values[i].shape().sizes(),
                  io::ByteView(data, values[i].type().bytes()));
  }
  return true;
}
}  // namespace

std::shared_ptr<const onnx::ModelDef> read_back(const Graph& graph, int64_t opset) {
  auto names = names_of(graph.inputs.size());
  std::string bytes =
      onnx::serialise(*onnx::to_onnx(graph, names, output_names(graph), {.opset = opset}));
  auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  return onnx::parse_model({data, bytes.size()}, "model.onnx");
}

std::string export_table() {
  std::string table;
  for (const onnx::ExportedOp& each : onnx::exported_ops())
    table += str("| `", each.op, "` | ", each.how, " |\n");
  return table;
}

void write_onnx_cases(const std::filesystem::path& folder, int64_t opset) {
  nlohmann::json list = nlohmann::json::array();
  for (const OpCase& c : all_cases()) {
    if (c.op == "random_uniform" || c.op == "random_normal") continue;
    for (DType dtype : c.dtypes) {
      std::vector<Tensor> inputs = random_inputs(c, dtype, run_seed());
      Graph graph = graph_of(c.build, inputs);
      auto at = folder / std::to_string(list.size());
      io::make_folder(at);
      bool written = write_arrays(at, 'x', inputs) &&
                     write_arrays(at, 'y', run_on(*device("reference"), graph, inputs));
      onnx::export_model(at / "model.onnx", graph, names_of(inputs.size()), output_names(graph),
                         {.opset = opset});
      list.push_back({{"op", c.op},
                      {"case", c.name},
                      {"dtype", std::string(name(dtype))},
                      {"inputs", inputs.size()},
                      {"outputs", graph.outputs.size()},
                      {"arrays", written},
                      {"tolerance", c.tolerance}});
    }
  }
  io::write_file_atomic(folder / "cases.json", list.dump(1));
}

}  // namespace wafer::op_tests
