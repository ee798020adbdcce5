#include "wafer/models/saved_model.h"

#include <nlohmann/json.hpp>

#include "wafer/io/safetensors.h"
#include "wafer/nn/graph_module.h"
#include "wafer/op/graph_json.h"
#include "wafer/train/step.h"
#include "wafer/train/tensor_file.h"

namespace wafer::models {

namespace {
constexpr const char* version = "2";
// Before the names of the graph's large constants, which lie beside the weights.
const std::string constant_prefix = "wafer.graph.";

// What the graph must give for the task: [batch, outputs], or [batch, length, outputs].
void check_types(const Graph& graph, const DataSpec& spec, const std::string& where) {
  auto batched = [&](std::vector<Dim> dims) {
    const Type& input = graph.inputs.back().type();
    Dim batch = input.shape.rank() > 0 ? input.shape[0] : Dim(1);
    dims.insert(dims.begin(), batch);
    return Shape(dims);
  };
  auto check = [&](const char* what, const Type& got, const Type& wanted) {
    if (got.dtype == wanted.dtype && got.shape == wanted.shape) return;
    throw UserError(where, str("the graph's ", what, " does not fit the description of the data"),
                    {.got = str(got), .expected = str(wanted), .hint = ""});
  };
  check("input", graph.inputs.back().type(), {spec.input.dtype, batched(spec.input.shape.dims())});
  std::vector<Dim> output{Dim(spec.outputs)};
  if (spec.task == Task::next_token) output.insert(output.begin(), spec.input.shape[0]);
  const Type& got = graph.outputs.at(0).type();
  WAFER_REQUIRE(is_floating(got.dtype), where, "the graph's output is ", got,
                "; expected numbers with a point");
  check("output", got, {got.dtype, batched(output)});
}

// Sizes are known once the batch is: values that no memory could hold are found before one runs.
void check_sizes(nn::UnaryModule& module, const DataSpec& spec) {
  constexpr int64_t most = int64_t{1} << 40;
  std::vector<Dim> dims = spec.input.shape.dims();
  dims.insert(dims.begin(), Dim(1));
  Tensor output = module(make_input({spec.input.dtype, Shape(dims)}, "input"));
  for (const Node* node : topological_order({output})) {
    for (const Type& type : node->outputs) {
      WAFER_REQUIRE(type.shape.elements() <= most, "graph", "the ", node->op->name, " gives ", type,
                    ", which is too large");
    }
  }
}
}  // namespace

Graph saved_graph(const Model& model) {
  nn::UnaryModule* module = model.module.get();
  std::vector<Dim> dims = model.spec.input.shape.dims();
  dims.insert(dims.begin(), Dim::symbol("batch"));
  return inference_graph(*module, [module](const Tensor& x) { return (*module)(x); },
                         {model.spec.input.dtype, Shape(dims)});
}

void save_model(const std::filesystem::path& path, const Model& model,
                const data::InputSpec& input) {
  GraphText graph = write_graph(saved_graph(model));
  std::vector<NamedMemory> tensors;
  std::vector<std::shared_ptr<Storage>> memory;
  auto add = [&](const std::string& name, const Tensor& tensor) {
    tensor.eval();
    memory.push_back(on_host(tensor.storage()));
    tensors.push_back({name, tensor.type(), memory.back()->data()});
  };
  nn::StateDict state = model.module->state_dict();
  for (const auto& [name, tensor] : state) add(name, tensor);
  for (const auto& [name, tensor] : graph.tensors) add(constant_prefix + name, tensor);
  std::map<std::string, std::string> metadata = {
      {"wafer.model", version},
      {"graph", graph.json},
      {"parameters", std::to_string(model.module->named_parameters().size())},
      {"model", model.name},
      {"options", nlohmann::json(model.options).dump()},
      {"toml", model.toml},
      {"input", input.to_json()}};
  write_tensor_file(path, tensors, metadata);
}

SavedModel load_model(const std::filesystem::path& path) {
  io::SafetensorsFile file(path);
  const std::string where = path.string();
  auto text = [&](const char* key) -> std::string {
    auto found = file.metadata().find(key);
    if (found == file.metadata().end()) {
      throw UserError(
          where, str("is not a saved model: no '", key, "' in its metadata"),
          {.got = "", .expected = "", .hint = "give a model.safetensors that `wafer train` wrote"});
    }
    return found->second;
  };
  WAFER_REQUIRE(text("wafer.model") == version, where, "a model file of version ",
                text("wafer.model"), "; this program reads version ", version);
  data::InputSpec input = data::InputSpec::from_json(text("input"), where);
  Model model;
  model.name = text("model");
  model.toml = text("toml");
  model.spec = spec_of(input.description);
  size_t parameters = 0;
  try {
    model.options = nlohmann::json::parse(text("options")).get<Options>();
    parameters = nlohmann::json::parse(text("parameters")).get<size_t>();
  } catch (const nlohmann::json::exception& error) {
    throw UserError(where, str("the model's options cannot be read: ", error.what()));
  }

  nn::StateDict state, constants;
  for (const auto& entry : file.entries()) {
    Shape shape(entry.shape);
    auto memory = std::as_bytes(std::span(entry.bytes.data(), entry.bytes.size()));
    Tensor value = Tensor::from_bytes(dtype_from_safetensors(entry.dtype, where), shape, memory);
    if (entry.name.starts_with(constant_prefix))
      constants[entry.name.substr(constant_prefix.size())] = value;
    else
      state[entry.name] = value;
  }
  auto lookup = [&](const std::string& name) {
    auto found = constants.find(name);
    return found == constants.end() ? Tensor() : found->second;
  };
  Graph graph = read_graph(text("graph"), lookup, where);
  try {
    WAFER_REQUIRE(!graph.inputs.empty() && graph.outputs.size() == 1, "graph",
                  "a model's graph has inputs and one output");
    check_types(graph, model.spec, where);
    model.module = std::make_unique<nn::GraphModule>(std::move(graph), parameters, state);
    check_sizes(*model.module, model.spec);
  } catch (const UserError& error) {
    std::string text_of = error.what();
    throw text_of.starts_with("[" + where) ? error : UserError(where, text_of);
  }
  model.module->eval();
  return {std::move(model), std::move(input)};
}

}  // namespace wafer::models
