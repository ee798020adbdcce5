#include "wafer/deploy/onnx/model.h"

#include <algorithm>
#include <memory>

#include "wafer/base/strings.h"
#include "wafer/deploy/onnx/proto/convert.h"
#include "wafer/deploy/onnx/proto/footprint.h"
#include "wafer/io/file.h"

namespace wafer::onnx {

namespace {
using AttributeMessage = ::onnx::AttributeProto;

GraphDef convert_graph(::onnx::GraphProto& graph, const Source& source);

// Calls `convert` with each message of the list in order, and frees it then: what is made of a list
// takes the memory of what it is made of.
template <class List, class Convert>
void consume(List& list, const Convert& convert) {
  for (int i = 0, j = list.size() - 1; i < j; ++i, --j) list.SwapElements(i, j);
  while (!list.empty()) {
    std::unique_ptr<typename List::value_type> message(list.ReleaseLast());
    convert(*message);
  }
}

std::vector<std::string> take_texts(::google::protobuf::RepeatedPtrField<std::string>& list) {
  return {std::make_move_iterator(list.begin()), std::make_move_iterator(list.end())};
}

Attribute convert_attribute(AttributeMessage& a, const Source& source, const std::string& label) {
  Attribute out;
  out.reference = a.ref_attr_name();
  auto type = a.type();
  if (type == AttributeMessage::UNDEFINED && out.reference.empty()) {
    // Files before IR version 2 leave the type out.
    type = a.has_f()          ? AttributeMessage::FLOAT
           : a.has_i()        ? AttributeMessage::INT
           : a.has_s()        ? AttributeMessage::STRING
           : a.has_t()        ? AttributeMessage::TENSOR
           : a.has_g()        ? AttributeMessage::GRAPH
           : a.floats_size()  ? AttributeMessage::FLOATS
           : a.strings_size() ? AttributeMessage::STRINGS
                              : AttributeMessage::INTS;
  }
  switch (type) {
    case AttributeMessage::FLOAT:
      out.kind = Attribute::Kind::number;
      out.f = a.f();
      break;
    case AttributeMessage::INT:
      out.kind = Attribute::Kind::integer;
      out.i = a.i();
      break;
    case AttributeMessage::STRING:
      out.kind = Attribute::Kind::text;
      out.s = a.s();
      break;
    case AttributeMessage::TENSOR:
      out.kind = Attribute::Kind::tensor;
      if (out.reference.empty()) out.t = convert_tensor(*a.mutable_t(), source, label);
      break;
    case AttributeMessage::GRAPH:
      out.kind = Attribute::Kind::graph;
      if (out.reference.empty())
        out.g = std::make_shared<const GraphDef>(convert_graph(*a.mutable_g(), source));
      break;
    case AttributeMessage::FLOATS:
      out.kind = Attribute::Kind::numbers;
      out.floats.assign(a.floats().begin(), a.floats().end());
      break;
    case AttributeMessage::INTS:
      out.kind = Attribute::Kind::integers;
      out.ints.assign(a.ints().begin(), a.ints().end());
      break;
    case AttributeMessage::STRINGS:
      out.kind = Attribute::Kind::texts;
      out.strings.assign(a.strings().begin(), a.strings().end());
      break;
    case AttributeMessage::TYPE_PROTO:
      out.kind = Attribute::Kind::type;
      out.tp = convert_type(a.tp(), source, label);
      break;
    case AttributeMessage::UNDEFINED: break;  // a reference: the kind is the referenced attribute's
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
  out.inputs = take_texts(*node.mutable_input());
  out.outputs = take_texts(*node.mutable_output());
  consume(*node.mutable_attribute(), [&](AttributeMessage& attribute) {
    std::string label = str(out.text(), ", attribute '", attribute.name(), "'");
    WAFER_REQUIRE(!attribute.name().empty(), source.where, label, ": it has no name");
    bool added =
        out.attributes.emplace(attribute.name(), convert_attribute(attribute, source, label))
            .second;
    WAFER_REQUIRE(added, source.where, label, ": it is given twice");
  });
  return out;
}

std::vector<NodeDef> convert_nodes(::google::protobuf::RepeatedPtrField<::onnx::NodeProto>& nodes,
                                   const Source& source) {
  std::vector<NodeDef> out;
  out.reserve(static_cast<size_t>(nodes.size()));
  consume(nodes, [&](::onnx::NodeProto& node) { out.push_back(convert_node(node, source)); });
  return out;
}

GraphDef convert_graph(::onnx::GraphProto& graph, const Source& source) {
  GraphDef out;
  out.name = graph.name();
  graph.clear_value_info();
  out.initializers.reserve(static_cast<size_t>(graph.initializer_size()));
  consume(*graph.mutable_initializer(), [&](::onnx::TensorProto& tensor) {
    std::string label = str("initializer '", tensor.name(), "'");
    WAFER_REQUIRE(!tensor.name().empty(), source.where, label, ": it has no name");
    std::string name = tensor.name();
    out.initializers.emplace_back(std::move(name), convert_tensor(tensor, source, label));
  });
  consume(*graph.mutable_sparse_initializer(), [&](::onnx::SparseTensorProto& sparse) {
    std::string name = sparse.values().name();
    std::string label = str("sparse initializer '", name, "'");
    WAFER_REQUIRE(!name.empty(), source.where, label, ": its values have no name");
    out.initializers.emplace_back(std::move(name), convert_sparse(sparse, source, label));
  });
  out.nodes = convert_nodes(*graph.mutable_node(), source);
  auto convert_infos = [&](auto& infos, std::vector<ValueInfo>& to, const char* what) {
    to.reserve(static_cast<size_t>(infos.size()));
    consume(infos, [&](const ::onnx::ValueInfoProto& info) {
      std::string label = str(what, " '", info.name(), "'");
      WAFER_REQUIRE(!info.name().empty(), source.where, label, ": it has no name");
      to.push_back({info.name(), convert_type(info.type(), source, label)});
    });
  };
  convert_infos(*graph.mutable_input(), out.inputs, "input");
  convert_infos(*graph.mutable_output(), out.outputs, "output");
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
  out.nodes = convert_nodes(*f.mutable_node(), source);
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

namespace {
// What a file may take in memory beside its weights; see HostileFileLimits of the tests.
int64_t memory_allowed(const Footprint& print, size_t file_bytes) {
  return (int64_t{64} << 20) + 2 * (static_cast<int64_t>(file_bytes) - print.raw);
}

void check_footprint(const Footprint& print, int64_t allowed, const std::string& where) {
  int64_t bytes = std::max(print.while_read, print.kept);
  if (bytes <= allowed) return;
  throw UserError(
      where,
      str("the file holds ", human_count(print.nodes), " nodes, ", human_count(print.texts),
          " names and texts, and ", human_count(print.numbers),
          " numbers outside of raw data: reading it would take ",
          human_bytes(static_cast<double>(bytes))),
      {.expected =
           str("at most ", human_bytes(static_cast<double>(allowed)), " for a file of its size"),
       .hint = "fold or split the graph, keep repeated nodes in a Loop or a function, and keep "
               "numbers in raw_data"});
}
}  // namespace

std::shared_ptr<const ModelDef> parse_model(std::span<const uint8_t> bytes,
                                            const std::string& where,
                                            const std::filesystem::path& folder) {
  Footprint print = footprint(bytes);
  int64_t allowed = memory_allowed(print, bytes.size());
  check_footprint(print, allowed, where);
  auto model = std::make_shared<ModelDef>();
  {
    ::onnx::ModelProto proto;
    parse(proto, bytes, where);
    Source source{where, folder};
    model->where = where;
    model->ir_version = proto.ir_version();
    model->producer = proto.producer_name();
    model->opsets = convert_opsets(proto.opset_import(), source);
    const int64_t for_dense = allowed - std::max(print.kept, print.while_read);
    *source.dense_left = for_dense;
    WAFER_REQUIRE(proto.has_graph(), where, "no ONNX model: the file holds no graph");
    model->graph = convert_graph(*proto.mutable_graph(), source);
    consume(*proto.mutable_functions(), [&](::onnx::FunctionProto& function) {
      FunctionDef def = convert_function(function, source);
      auto key = std::pair(def.domain, def.name);
      bool added = model->functions.emplace(key, std::move(def)).second;
      WAFER_REQUIRE(added, where, "function '", key.second, "' is defined twice");
    });
    model->memory_left = allowed - print.kept - (for_dense - *source.dense_left);
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
