#include "wafer/models/start_from.h"

#include <algorithm>
#include <fstream>

#include "wafer/base/strings.h"
#include "wafer/deploy/onnx/onnx.h"
#include "wafer/io/safetensors.h"
#include "wafer/models/replace_head.h"
#include "wafer/models/saved_model.h"
#include "wafer/models/toml.h"
#include "wafer/nn/graph_module.h"

namespace wafer::models {

namespace {
namespace fs = std::filesystem;

const char* graph_note =
    "the graph of the file is trained as it stands: batch norm and dropout stay in evaluation mode";

[[noreturn]] void refuse_input(const std::string& where, const Type& got, const Type& expected) {
  throw UserError(
      where, "the data do not fit the model's input",
      {.got = str("examples of ", got),
       .expected = str(expected),
       .hint = "give data of that shape, or train a model for these data from scratch"});
}

// The same with the output that the data ask for.
void fit_output(GraphParts& parts, const DataSpec& spec, uint64_t seed, const std::string& where,
                std::vector<std::string>& notes) {
  if (spec.task == Task::classification && drop_softmax(parts.graph))
    notes.push_back("the softmax at the model's end is left out: the loss includes it");
  const Shape& shape = parts.graph.outputs[0].shape();
  int rank = spec.task == Task::next_token ? 3 : 2;
  if (shape.rank() != rank) {
    throw UserError(where, "the model's output does not fit the data's task",
                    {.got = str(shape),
                     .expected = rank == 3 ? "[batch, length, outputs]" : "[batch, outputs]"});
  }
  if (!(shape[rank - 1] == Dim(spec.outputs)))
    notes.push_back(replace_head(parts, spec.outputs, seed, where));
  const Type& output = parts.graph.outputs[0].type();
  std::vector<Dim> wanted{parts.graph.inputs.back().shape()[0]};
  if (rank == 3) wanted.push_back(spec.input.shape[0]);
  wanted.emplace_back(spec.outputs);
  WAFER_REQUIRE(output.dtype == DType::f32 && output.shape == Shape(wanted), where,
                "the model's output is ", output, "; expected f32 ", Shape(wanted));
}

Model graph_model(GraphParts parts, const std::string& name, const DataSpec& spec) {
  Model model;
  model.name = name;
  model.module =
      std::make_unique<nn::GraphModule>(std::move(parts.graph), parts.parameters, parts.values);
  model.spec = spec;
  return model;
}

Start from_onnx(const fs::path& path, const DataSpec& spec, uint64_t seed) {
  const std::string where = path.string();
  onnx::Session session(path);
  auto trainable = session.trainable_graph(spec.input);
  Start start;
  start.notes = trainable.notes;
  start.notes.push_back(graph_note);
  if (trainable.graph.outputs.size() > 1) {
    start.notes.push_back(str("of the model's ", trainable.graph.outputs.size(),
                              " outputs the first, '", session.outputs()[0].name, "', is trained"));
    trainable.graph.outputs.resize(1);
  }
  GraphParts parts{std::move(trainable.graph), trainable.parameters, std::move(trainable.values)};
  fit_output(parts, spec, seed, where, start.notes);
  start.model = graph_model(std::move(parts), path.stem().string(), spec);
  return start;
}

// Whether dimension 0 alone differs, and goes from one number of outputs to the other: a head.
bool is_head(const Shape& was, const Shape& is, int64_t outputs_were, int64_t outputs_are) {
  if (was.rank() != is.rank() || is.rank() == 0) return false;
  for (int i = 1; i < is.rank(); ++i)
    if (!(was[i] == is[i])) return false;
  return was[0] == Dim(outputs_were) && is[0] == Dim(outputs_are);
}

// The model that a file was made from, made for `spec`.
Model make_again(const Model& saved, const DataSpec& spec, uint64_t seed,
                 const std::string& where) {
  if (!saved.toml.empty()) return from_toml_text(saved.toml, where, &spec, seed);
  Options options = saved.options;
  for (const char* of_data : {"input", "outputs", "task", "vocabulary"}) options.erase(of_data);
  return create(saved.name, options, &spec, seed);
}

// A module of the class that was trained, with the file's weights.
Start as_module(const Model& saved, const DataSpec& spec, uint64_t seed, const std::string& where) {
  Start start;
  start.model = make_again(saved, spec, seed, where);
  nn::StateDict state = saved.module->state_dict();
  std::vector<std::string> fresh, misshapen;
  for (const auto& slot : start.model.module->named_slots()) {
    auto found = state.find(slot.name);
    WAFER_REQUIRE(found != state.end(), where, "holds no '", slot.name, "'");
    const Shape &was = found->second.shape(), &is = slot.value->shape();
    if (was == is) continue;
    if (is_head(was, is, saved.spec.outputs, spec.outputs)) {
      fresh.push_back(slot.name);
      found->second = *slot.value;
    } else {
      misshapen.push_back(str(slot.name, " is ", was, ", for these data ", is));
    }
  }
  if (!misshapen.empty()) {
    throw UserError(where, str("the weights do not fit the data: ", join(misshapen, ", ")),
                    {.got = str("examples of ", spec.input),
                     .expected = str(saved.spec.input),
                     .hint = "give data of that shape"});
  }
  start.model.module->load_state_dict(state);
  start.model.module->train();
  if (!fresh.empty()) {
    start.notes.push_back(str("the last layer, which gave ", saved.spec.outputs,
                              " outputs, is replaced by a new one for ", spec.outputs, ": ",
                              join(fresh, ", ")));
  }
  return start;
}

Start as_graph(const Model& saved, const DataSpec& spec, uint64_t seed, const std::string& where) {
  const auto& module = dynamic_cast<const nn::GraphModule&>(*saved.module);
  if (!(saved.spec.input == spec.input)) refuse_input(where, spec.input, saved.spec.input);
  Start start;
  start.notes.push_back(graph_note);
  GraphParts parts{module.graph(), saved.module->named_parameters().size(),
                   saved.module->state_dict()};
  fit_output(parts, spec, seed, where, start.notes);
  start.model = graph_model(std::move(parts), saved.name, spec);
  return start;
}

bool can_make_again(const Model& saved) {
  if (!saved.toml.empty()) return true;
  auto named = [&](const ModelInfo& info) { return info.name == saved.name; };
  return !saved.options.empty() && std::any_of(list().begin(), list().end(), named);
}

Start from_saved(const fs::path& path, const data::Description& data, const DataSpec& spec,
                 uint64_t seed) {
  const std::string where = path.string();
  if (!io::SafetensorsFile(path).metadata().count("wafer.model")) {
    throw UserError(where, "holds weights, but no model",
                    {.hint = "make one of it: wafer import --from " + where +
                             " --model resnet18 --output model.safetensors"});
  }
  SavedModel saved = load_model(path);
  const data::Description& was = saved.input.description;
  WAFER_REQUIRE(was.kind == data.kind && was.task == data.task, where, "the model is for ",
                data::name(was.task), " of ", data::name(was.kind), ", the data are for ",
                data::name(data.task), " of ", data::name(data.kind));
  if (data.kind == data::InputKind::tokens && was.classes != data.classes) {
    throw UserError(where, "the data's vocabulary is another than the model's",
                    {.got = str(data.classes.size(), " characters"),
                     .expected = str("the ", was.classes.size(), " that it was trained on"),
                     .hint = "give a text of the same characters"});
  }
  if (data.kind == data::InputKind::features && was.columns != data.columns) {
    throw UserError(where, "the data's columns are others than the model's",
                    {.hint = "give a table with the columns that it was trained on"});
  }
  Start start;
  try {
    if (!can_make_again(saved.model)) {
      start = as_graph(saved.model, spec, seed, where);
    } else {
      start = as_module(saved.model, spec, seed, where);
    }
  } catch (const UserError&) {
    // A TOML text may fix its outputs; the graph can be given others.
    if (saved.model.toml.empty() || !(saved.model.spec.input == spec.input)) throw;
    start = as_graph(saved.model, spec, seed, where);
  }
  size_t channels = data.kind == data::InputKind::image ? static_cast<size_t>(data.shape[0])
                                                        : static_cast<size_t>(data.shape.back());
  if (saved.input.normalise.empty() || saved.input.normalise.mean.size() == channels)
    start.normalise = saved.input.normalise;
  if (spec.outputs == saved.model.spec.outputs && was.classes != data.classes)
    start.notes.push_back("the data's classes are others than the model's; its last layer is kept");
  return start;
}

// [batch, channels, height, width], or with the channels last.
std::optional<Shape> image_input_of_onnx(const fs::path& path) {
  onnx::Session session(path);
  if (session.inputs().size() != 1) return std::nullopt;
  const onnx::TypeDef& type = session.inputs()[0].type;
  if (!type.has_shape || type.dims.size() != 4) return std::nullopt;
  for (size_t i = 1; i < 4; ++i)
    if (!type.dims[i].is_static()) return std::nullopt;
  auto is_channels = [&](size_t i) { return type.dims[i] == Dim(1) || type.dims[i] == Dim(3); };
  if (is_channels(1)) return Shape{type.dims[1], type.dims[2], type.dims[3]};
  if (is_channels(3)) return Shape{type.dims[3], type.dims[1], type.dims[2]};
  return std::nullopt;
}

// The file of a saved model, which a run's folder stands for.
fs::path saved_file(const fs::path& path) {
  fs::path file = fs::is_directory(path) ? path / "model.safetensors" : path;
  if (file != path && !fs::exists(file)) {
    throw UserError(path.string(), "holds no model.safetensors",
                    {.hint = "give the folder of a run that has ended, or a model file"});
  }
  refuse_pickle(file);
  return file;
}
}  // namespace

void refuse_pickle(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  unsigned char head[4] = {};
  file.read(reinterpret_cast<char*>(head), sizeof head);
  bool zip = head[0] == 'P' && head[1] == 'K' && head[2] == 3 && head[3] == 4;
  bool pickle = head[0] == 0x80 && head[1] >= 2 && head[1] <= 5;
  if (!zip && !pickle) return;
  std::string to = fs::path(path).replace_extension(".safetensors").string();
  throw UserError(
      path.string(), "is a Python pickle, which can hold programs; only safetensors is read",
      {.hint = "convert it where PyTorch is installed: python3 -c \"import torch, "
               "safetensors.torch as s; w = torch.load('" +
               path.string() +
               "', map_location='cpu', weights_only=True); s.save_file({k: v.clone() for k, v in "
               "w.items()}, '" +
               to + "')\""});
}

Start start_from(const fs::path& path, const data::Description& data, uint64_t seed) {
  DataSpec spec = spec_of(data);
  if (path.extension() == ".onnx") return from_onnx(path, spec, seed);
  return from_saved(saved_file(path), data, spec, seed);
}

std::optional<Shape> image_input(const fs::path& path) {
  if (path.extension() == ".onnx") return image_input_of_onnx(path);
  fs::path file = saved_file(path);
  io::SafetensorsFile saved(file);
  auto input = saved.metadata().find("input");
  if (input == saved.metadata().end()) return std::nullopt;
  data::InputSpec spec = data::InputSpec::from_json(input->second, file.string());
  const data::Description& about = spec.description;
  if (about.kind != data::InputKind::image) return std::nullopt;
  return Shape(about.shape);
}

}  // namespace wafer::models
