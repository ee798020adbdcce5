#include "wafer/deploy/onnx/model.h"

#include "wafer/deploy/onnx/proto/convert.h"
#include "wafer/io/file.h"

namespace wafer::onnx {

namespace {
using Proto = ::onnx::AttributeProto;

GraphDef convert_graph(::onnx::GraphProto& graph, const Source& source);

Attribute convert_attribute(Proto& a, const Source& source, const std::string& label) {
  Attribute out;
  out.reference = a.ref_attr_name();
  auto type = a.type();
  if (type == Proto::UNDEFINED && out.reference.empty()) {
    // Files before IR version 2 leave the type out.
    type = a.has_f()          ? Proto::FLOAT
           : a.has_i()        ? Proto::INT
           : a.has_s()        ? Proto::STRING
           : a.has_t()        ? Proto::TENSOR
           : a.has_g()        ? Proto::GRAPH
           : a.floats_size()  ? Proto::FLOATS
           : a.strings_size() ? Proto::STRINGS
                              : Proto::INTS;
  }
  switch (type) {
    case Proto::FLOAT:
      out.kind = Attribute::Kind::number;
      out.f = a.f();
      break;
    case Proto::INT:
      out.kind = Attribute::Kind::integer;
      out.i = a.i();
      break;
    case Proto::STRING:
      out.kind = Attribute::Kind::text;
      out.s = a.s();
      break;
    case Proto::TENSOR:
      out.kind = Attribute::Kind::tensor;
      if (out.reference.empty()) out.t = convert_tensor(*a.mutable_t(), source, label);
      break;
    case Proto::GRAPH:
      out.kind = Attribute::Kind::graph;
      if (out.reference.empty())
        out.g = std::make_shared<const GraphDef>(convert_graph(*a.mutable_g(), source));
      break;
    case Proto::FLOATS:
      out.kind = Attribute::Kind::numbers;
      out.floats.assign(a.floats().begin(), a.floats().end());
      break;
    case Proto::INTS:
      out.kind = Attribute::Kind::integers;
      out.ints.assign(a.ints().begin(), a.ints().end());
      break;
    case Proto::STRINGS:
      out.kind = Attribute::Kind::texts;
      out.strings.assign(a.strings().begin(), a.strings().end());
      break;
    case Proto::TYPE_PROTO:
      out.kind = Attribute::Kind::type;
      out.tp = convert_type(a.tp(), source, label);
      break;
    case Proto::UNDEFINED: break;  // a reference: the kind is the referenced attribute's
    default:
      throw UserError(source.where, str(label, ": attributes of type ", static_cast<int>(type),
                                        " are not supported"));
  }
  return out;
}

std::string normal_domain(const std::string& domain) {
  return domain == "ai.onnx" ? "" : domain;
}

NodeDef convert_node(::onnx::NodeProto& node, const Source& source) {
  NodeDef out;
  out.name = node.name();
  out.op_type = node.op_type();
  out.domain = normal_domain(node.domain());
  out.inputs.assign(node.input().begin(), node.input().end());
  out.outputs.assign(node.output().begin(), node.output().end());
  for (auto& attribute : *node.mutable_attribute()) {
    std::string label = str(out.text(), ", attribute '", attribute.name(), "'");
    WAFER_REQUIRE(!attribute.name().empty(), source.where, label, ": it has no name");
    bool added =
        out.attributes.emplace(attribute.name(), convert_attribute(attribute, source, label))
            .second;
    WAFER_REQUIRE(added, source.where, label, ": it is given twice");
  }
  return out;
}

GraphDef convert_graph(::onnx::GraphProto& graph, const Source& source) {
  GraphDef out;
  out.name = graph.name();
  WAFER_REQUIRE(graph.sparse_initializer_size() == 0, source.where, "graph '", out.name,
                "': sparse initializers are not supported");
  for (auto& tensor : *graph.mutable_initializer()) {
    std::string label = str("initializer '", tensor.name(), "'");
    WAFER_REQUIRE(!tensor.name().empty(), source.where, label, ": it has no name");
    std::string name = tensor.name();
    out.initializers.emplace_back(name, convert_tensor(tensor, source, label));
    tensor.Clear();
  }
  for (auto& node : *graph.mutable_node()) out.nodes.push_back(convert_node(node, source));
  auto convert_infos = [&](const auto& infos, std::vector<ValueInfo>& to, const char* what) {
    for (const auto& info : infos) {
      std::string label = str(what, " '", info.name(), "'");
      WAFER_REQUIRE(!info.name().empty(), source.where, label, ": it has no name");
      to.push_back({info.name(), convert_type(info.type(), source, label)});
    }
  };
  convert_infos(graph.input(), out.inputs, "input");
  convert_infos(graph.output(), out.outputs, "output");
  return out;
}

template <class List>
Opsets convert_opsets(const List& list, const Source& source) {
  Opsets out;
  for (const auto& opset : list) {
    bool added = out.emplace(normal_domain(opset.domain()), opset.version()).second;
    WAFER_REQUIRE(added, source.where, "the operator set of domain '", opset.domain(),
                  "' is imported twice");
  }
  return out;
}

FunctionDef convert_function(::onnx::FunctionProto& f, const Source& source) {
  FunctionDef out;
  out.domain = normal_domain(f.domain());
  out.name = f.name();
  out.inputs.assign(f.input().begin(), f.input().end());
  out.outputs.assign(f.output().begin(), f.output().end());
  out.required.assign(f.attribute().begin(), f.attribute().end());
  for (auto& attribute : *f.mutable_attribute_proto()) {
    std::string label = str("function '", f.name(), "', attribute '", attribute.name(), "'");
    out.defaults.emplace(attribute.name(), convert_attribute(attribute, source, label));
  }
  for (auto& node : *f.mutable_node()) out.nodes.push_back(convert_node(node, source));
  out.opsets = convert_opsets(f.opset_import(), source);
  return out;
}

template <class Message>
void parse(Message& message, std::span<const uint8_t> bytes, const std::string& where) {
  WAFER_REQUIRE(bytes.size() <= std::numeric_limits<int>::max(), where,
                "a message of 2 GiB or more; keep the weights in a file of external data");
  bool parsed = message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  WAFER_REQUIRE(parsed, where, "not an ONNX file, or a truncated one, or nested too deeply");
}

Value convert_sequence(::onnx::SequenceProto& sequence, const Source& source) {
  std::vector<Value> values;
  for (auto& tensor : *sequence.mutable_tensor_values())
    values.push_back(convert_tensor(tensor, source, "sequence"));
  for (auto& inner : *sequence.mutable_sequence_values())
    values.push_back(convert_sequence(inner, source));
  WAFER_REQUIRE(sequence.map_values_size() == 0 && sequence.sparse_tensor_values_size() == 0,
                source.where, "sequences of maps and sparse tensors are not supported");
  return Value::of_sequence(std::move(values));
}
}  // namespace

std::shared_ptr<const ModelDef> parse_model(std::span<const uint8_t> bytes,
                                            const std::string& where,
                                            const std::filesystem::path& folder) {
  ::onnx::ModelProto proto;
  parse(proto, bytes, where);
  Source source{where, folder};
  auto model = std::make_shared<ModelDef>();
  model->where = where;
  model->ir_version = proto.ir_version();
  model->producer = proto.producer_name();
  model->opsets = convert_opsets(proto.opset_import(), source);
  WAFER_REQUIRE(proto.has_graph(), where, "no ONNX model: the file holds no graph");
  model->graph = convert_graph(*proto.mutable_graph(), source);
  for (auto& function : *proto.mutable_functions()) {
    FunctionDef def = convert_function(function, source);
    auto key = std::pair(def.domain, def.name);
    bool added = model->functions.emplace(key, std::move(def)).second;
    WAFER_REQUIRE(added, where, "function '", key.second, "' is defined twice");
  }
  check(*model);
  return model;
}

Value read_value(const std::filesystem::path& path, const TypeDef& type) {
  io::MemoryMap file(path);
  Source source{path.string(), path.parent_path()};
  if (type.kind == TypeDef::Kind::sequence) {
    ::onnx::SequenceProto sequence;
    parse(sequence, file.bytes(), source.where);
    return convert_sequence(sequence, source);
  }
  if (type.kind == TypeDef::Kind::optional) {
    ::onnx::OptionalProto optional;
    parse(optional, file.bytes(), source.where);
    if (optional.has_tensor_value())
      return convert_tensor(*optional.mutable_tensor_value(), source, "optional");
    if (optional.has_sequence_value())
      return convert_sequence(*optional.mutable_sequence_value(), source);
    return Value::empty();
  }
  ::onnx::TensorProto tensor;
  parse(tensor, file.bytes(), source.where);
  return convert_tensor(tensor, source, "tensor");
}

}  // namespace wafer::onnx
