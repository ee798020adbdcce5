#include "wafer/cli/onnx.h"

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/deploy/onnx/onnx.h"
#include "wafer/io/npy.h"
#include "wafer/op/op.h"
#include "wafer/pass/freeze.h"
#include "wafer/runtime/registry.h"

namespace wafer::cli {

namespace {
namespace fs = std::filesystem;

// NumPy's dtype strings that ONNX has a type for.
DType dtype_of_descr(const std::string& descr, const std::string& where) {
  static const std::map<std::string, DType> known = {
      {"<f8", DType::f64}, {"<f4", DType::f32}, {"<f2", DType::f16}, {"<i8", DType::i64},
      {"<i4", DType::i32}, {"<i2", DType::i16}, {"|i1", DType::i8},  {"<u8", DType::u64},
      {"<u4", DType::u32}, {"<u2", DType::u16}, {"|u1", DType::u8},  {"|b1", DType::boolean}};
  auto found = known.find(descr);
  WAFER_REQUIRE(found != known.end(), where, "arrays of '", descr, "' cannot be given to a model");
  return found->second;
}
std::string descr_of(DType dtype) {
  std::string kind = dtype == DType::boolean ? "b"
                     : is_floating(dtype)    ? "f"
                     : is_signed(dtype)      ? "i"
                                             : "u";
  int bytes = bits(dtype) / 8;
  return (bytes == 1 ? "|" : "<") + kind + std::to_string(bytes);
}

onnx::Value value_of(const io::NpyArray& array, const std::string& where) {
  DType dtype = dtype_of_descr(array.descr, where);
  return Tensor::from_bytes(dtype, Shape(array.shape), std::as_bytes(std::span(array.bytes)));
}

std::string inputs_text(const onnx::Session& session) {
  std::vector<std::string> texts;
  for (const auto& input : session.inputs()) texts.push_back(input.name + " " + input.type.text());
  return join(texts, ", ");
}

// The arrays of an .npz, which has one for each input, under its name.
std::vector<onnx::Value> read_named_inputs(const onnx::Session& session, const std::string& file) {
  std::map<std::string, io::NpyArray> arrays = io::read_npz(file);
  std::vector<onnx::Value> values;
  std::vector<std::string> names;
  for (const auto& input : session.inputs()) {
    auto found = arrays.find(input.name);
    if (found == arrays.end()) {
      throw UserError(file, str("has no array '", input.name, "'"),
                      {.expected = inputs_text(session),
                       .hint = "save one array for each input, under its name"});
    }
    values.push_back(value_of(found->second, str(file, ", ", input.name)));
    names.push_back(input.name);
  }
  for (const auto& [name, array] : arrays) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    throw UserError(file, str("no input is called '", name, "'", did_you_mean(name, names)),
                    {.expected = inputs_text(session)});
  }
  return values;
}

// The files by the model's inputs.
std::vector<onnx::Value> read_inputs(const onnx::Session& session, const std::string& path,
                                     const std::vector<std::string>& files) {
  const auto& inputs = session.inputs();
  auto is_input = [&](const std::string& name) {
    return std::any_of(inputs.begin(), inputs.end(),
                       [&](const auto& input) { return input.name == name; });
  };
  for (const std::string& file : files) {
    if (!file.ends_with(".npz")) continue;
    size_t equals = file.find('=');
    bool named = equals != file.npos && is_input(file.substr(0, equals));
    if (files.size() == 1 && !named) return read_named_inputs(session, file);
    throw UserError(
        named ? file.substr(equals + 1) : file, "an .npz holds all inputs under their names",
        {.got = named ? "'" + file.substr(0, equals) + "=' before it" : "other files, too",
         .hint = "give the .npz alone, or a .npy file for each input"});
  }
  if (files.size() != inputs.size()) {
    throw UserError(path, str(files.size(), " files for ", inputs.size(), " inputs"),
                    {.expected = inputs_text(session),
                     .hint = "give a .npy file for each, in this order or as name=file.npy, or one "
                             ".npz that has them by name"});
  }
  std::vector<onnx::Value> values(inputs.size());
  for (size_t i = 0; i < files.size(); ++i) {
    size_t place = i;
    std::string file = files[i];
    size_t equals = file.find('=');
    for (size_t k = 0; equals != file.npos && k < inputs.size(); ++k) {
      if (file.substr(0, equals) != inputs[k].name) continue;
      place = k;
      file = file.substr(equals + 1);
      break;
    }
    WAFER_REQUIRE(!values[place], path, "input '", inputs[place].name, "' is given twice");
    values[place] = value_of(io::read_npy(file), file);
  }
  return values;
}

Json describe_output(const std::string& name, const onnx::Value& value) {
  std::cout << name << " " << value.text() << "\n";
  if (value.tensor) std::cout << value.tensor.text() << "\n";
  if (value.strings) {
    for (const std::string& text : value.strings->values) std::cout << "  " << text << "\n";
  }
  if (value.sequence) {
    for (const auto& element : *value.sequence) describe_output("  element", element);
  }
  return {{"name", name}, {"type", value.text()}};
}

void write_array(const fs::path& path, const Tensor& tensor) {
  Tensor plain = tensor.dtype() == DType::bf16 ? Tensor() : tensor;
  WAFER_REQUIRE(static_cast<bool>(plain), path.string(), "NumPy has no bfloat16");
  visit(plain.dtype(), [&]<class T>(std::type_identity<T>) {
    std::vector<T> values = plain.data<T>();
    io::Bytes bytes;
    bytes.reserve(values.size() * sizeof(T));
    for (T value : values) {
      auto* first = reinterpret_cast<const uint8_t*>(&value);
      bytes.insert(bytes.end(), first, first + sizeof(T));
    }
    io::write_npy(path, descr_of(plain.dtype()), plain.shape().sizes(), bytes);
  });
}

// A name as that of a file.
std::string file_name(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
  return name.empty() || name[0] == '.' ? "_" + name : name;
}
}  // namespace

bool is_onnx(const std::string& model) {
  return model.ends_with(".onnx");
}

Outcome check_onnx(const std::string& path, int64_t batch) {
  onnx::Session session{fs::path(path)};
  const onnx::ModelDef& model = session.model();
  Outcome outcome;
  std::cout << path << ": ONNX IR version " << model.ir_version;
  for (const auto& [domain, version] : model.opsets)
    std::cout << ", " << (domain.empty() ? "operator set" : domain) << " " << version;
  if (!model.producer.empty()) std::cout << ", by " << model.producer;
  std::cout << "\n";
  int64_t parameters = 0;
  for (const auto& [name, value] : model.graph.initializers)
    if (value.tensor && is_floating(value.tensor.dtype())) parameters += value.tensor.elements();
  for (const auto& input : session.inputs())
    std::cout << "  input   " << input.name << " " << input.type.text() << "\n";
  for (const auto& output : session.outputs())
    std::cout << "  output  " << output.name << " " << output.type.text() << "\n";
  std::cout << "  " << model.graph.nodes.size() << " nodes, " << human_count(parameters)
            << " parameters\n";
  outcome.json = {{"ir_version", model.ir_version},
                  {"nodes", model.graph.nodes.size()},
                  {"parameters", parameters}};
  try {
    Graph graph = session.graph(session.input_types({}, batch));
    double flops = 0;
    for (const Node* node : topological_order(graph)) flops += cost(*node).flops;
    std::cout << "  compiles as one graph; " << human_count(static_cast<int64_t>(flops))
              << " operations for a batch of " << batch << "\n";
    outcome.json["one_graph"] = true;
    outcome.json["flops"] = flops;
  } catch (const UserError& error) {
    std::cout << "  does not compile as one graph: " << error.what() << "\n";
    outcome.json["one_graph"] = false;
    outcome.json["reason"] = error.what();
  }
  return outcome;
}

Outcome infer_onnx(const std::string& path, const std::vector<std::string>& files,
                   const std::string& folder) {
  onnx::Session session{fs::path(path)};
  auto outputs = session.run(read_inputs(session, path, files));
  Outcome outcome;
  outcome.json["outputs"] = Json::array();
  for (size_t i = 0; i < outputs.values.size(); ++i) {
    const std::string& name = session.outputs()[i].name;
    outcome.json["outputs"].push_back(describe_output(name, outputs.values[i]));
    if (folder.empty() || !outputs.values[i].tensor) continue;
    io::make_folder(folder);
    write_array(fs::path(folder) / (file_name(name) + ".npy"), outputs.values[i].tensor);
  }
  outcome.json["segments"] = outputs.segments;
  return outcome;
}

Graph onnx_graph(const std::string& path, int64_t batch, Precision precision) {
  onnx::Session session{fs::path(path)};
  auto weighted = session.graph_with_weights(session.input_types({}, batch));
  auto device = default_device();
  std::vector<std::shared_ptr<Storage>> weights;
  for (const Tensor& weight : weighted.weights) {
    weights.push_back(device->allocate(weight.type().bytes()));
    copy_to_device(*device, *weight.storage(), *weights.back(), weight.type().bytes());
  }
  return freeze(weighted.graph, weights, *device, precision);
}

}  // namespace wafer::cli
