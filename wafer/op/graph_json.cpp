#include "wafer/op/graph_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "wafer/base/base64.h"
#include "wafer/base/strings.h"
#include "wafer/op/arity.h"

namespace wafer {

namespace {

using Json = nlohmann::ordered_json;
constexpr int format_version = 1;
constexpr size_t inline_bytes = 1024;  // larger constants are tensors beside the text
constexpr int deepest = 64;            // subgraphs in subgraphs

// ---- writing ----

Json shape_json(const Shape& shape) {
  Json dims = Json::array();
  for (const Dim& dim : shape.dims()) {
    if (dim.is_static())
      dims.push_back(dim.value());
    else
      dims.push_back(dim.text());
  }
  return dims;
}

Json number_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

Json attr_json(const AttrValue& value) {
  return std::visit(
      [](const auto& v) -> Json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, double>) {
          if (std::isfinite(v)) return v;
          return {{"f64", number_json(v)}};
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          Json list = Json::array();
          for (double element : v) list.push_back(number_json(element));
          return {{"f64s", list}};
        } else if constexpr (std::is_same_v<T, DType>) {
          return {{"dtype", std::string(name(v))}};
        } else if constexpr (std::is_same_v<T, Shape>) {
          return {{"shape", shape_json(v)}};
        } else {
          return v;
        }
      },
      value);
}

Json type_json(const Type& type) {
  return Json::array({std::string(name(type.dtype)), shape_json(type.shape)});
}

class Writer {
 public:
  Json graph(const Graph& graph) {
    std::unordered_map<const Node*, size_t> number;
    Json nodes = Json::array(), inputs = Json::array(), outputs = Json::array();
    auto reference = [&](const Tensor& value) -> Json {
      size_t node = number.at(&value.node());
      if (value.index() == 0) return node;
      return Json::array({node, value.index()});
    };
    for (const Node* node : topological_order(graph)) {
      Json entry = {{"op", node->op->name}};
      if (node->is(op::input) || node->is(op::constant)) {
        entry["type"] = type_json(node->outputs[0]);
      }
      if (node->is(op::constant)) {
        constant(*node, entry);
      } else {
        for (const Type& type : node->outputs) {
          WAFER_REQUIRE(type.layout == Layout::row_major, "graph", "the ", node->op->name,
                        " gives a physical layout: save the graph before it is lowered");
          WAFER_REQUIRE(!node->is(op::fused), "graph",
                        "fused ops have no text: save the graph before it is lowered");
        }
      }
      for (const Tensor& input : node->inputs) entry["inputs"].push_back(reference(input));
      for (const auto& [key, value] : node->attrs.list()) entry["attrs"][key] = attr_json(value);
      if (!node->path.empty()) entry["path"] = node->path;
      for (const auto& subgraph : node->subgraphs) {
        entry["subgraphs"].push_back(this->graph(*subgraph));
      }
      number.emplace(node, nodes.size());
      nodes.push_back(std::move(entry));
    }
    for (const Tensor& input : graph.inputs) inputs.push_back(number.at(&input.node()));
    for (const Tensor& output : graph.outputs) outputs.push_back(reference(output));
    Json result = {{"nodes", nodes}, {"inputs", inputs}, {"outputs", outputs}};
    if (!graph.alias.empty()) result["alias"] = graph.alias;
    return result;
  }

  std::vector<std::pair<std::string, Tensor>> tensors;

 private:
  void constant(const Node& node, Json& entry) {
    if (auto bytes = small_constant(node, inline_bytes)) {
      entry["data"] = base64_encode(*bytes);
      return;
    }
    auto [known, is_new] = names_.emplace(node.values.at(0).get(), str("constant.", names_.size()));
    entry["tensor"] = known->second;
    if (is_new) {
      tensors.emplace_back(known->second, Tensor::from_storage(node.outputs[0], node.values[0]));
    }
  }
  std::unordered_map<const Storage*, std::string> names_;
};

// ---- reading ----

class Reader {
 public:
  Reader(const TensorLookup& lookup, std::string where)
      : lookup_(lookup), where_(std::move(where)) {}

  Graph graph(const Json& json, const std::string& at, bool outermost, int depth) {
    if (depth > deepest) fail(at, str("more than ", deepest, " subgraphs in one another"));
    std::vector<std::string> fields = {"nodes", "inputs", "outputs", "alias"};
    if (outermost) fields.insert(fields.end(), {"format", "version"});
    require_fields(json, at, fields);
    std::vector<std::vector<Tensor>> nodes;
    const Json& list = array(json, at, "nodes");
    for (size_t i = 0; i < list.size(); ++i) {
      nodes.push_back(node(list[i], str(at, "nodes[", i, "]"), nodes, depth));
    }
    Graph result;
    for (const Json& entry : array(json, at, "inputs")) {
      Tensor input = value(entry, at + "inputs", nodes);
      bool is_new =
          std::find(result.inputs.begin(), result.inputs.end(), input) == result.inputs.end();
      if (!input.node().is(op::input) || !is_new) {
        fail(at + "inputs", "an entry is no input node, or given twice");
      }
      result.inputs.push_back(input);
    }
    for (const Json& entry : array(json, at, "outputs")) {
      result.outputs.push_back(value(entry, at + "outputs", nodes));
    }
    if (json.contains("alias")) read_alias(json, at, result);
    guarded(at, [&] { verify(result); });
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& field, const std::string& what) const {
    throw UserError(where_, field.empty() ? what : str(field, ": ", what));
  }

  // What goes wrong in `read` is the file's fault.
  template <class Read>
  auto guarded(const std::string& at, const Read& read) const -> decltype(read()) {
    try {
      return read();
    } catch (const std::exception& error) {
      fail(at, error.what());
    }
  }

  void require_fields(const Json& json, const std::string& at,
                      const std::vector<std::string>& allowed) const {
    if (!json.is_object()) fail(at, str("expected an object; got ", json.type_name()));
    for (const auto& [key, unused] : json.items()) {
      if (std::find(allowed.begin(), allowed.end(), key) == allowed.end()) {
        fail(at, str("unknown field '", key, "'", did_you_mean(key, allowed)));
      }
    }
  }

  const Json& field(const Json& json, const std::string& at, const char* key) const {
    auto found = json.find(key);
    if (found == json.end()) fail(at, str("field '", key, "' is missing"));
    return *found;
  }

  const Json& array(const Json& json, const std::string& at, const char* key) const {
    const Json& list = field(json, at, key);
    if (!list.is_array()) fail(at + key, str("expected a list; got ", list.type_name()));
    return list;
  }

  std::string text(const Json& json, const std::string& at, const char* key) const {
    const Json& value = field(json, at, key);
    if (!value.is_string()) fail(at, str("field '", key, "' is no text"));
    return value.get<std::string>();
  }

  // An integer in [0, limit).
  size_t index(const Json& json, const std::string& at, size_t limit) const {
    if (!json.is_number_integer() || json.get<int64_t>() < 0 ||
        (json.is_number_unsigned() ? json.get<uint64_t>() >= limit
                                   : static_cast<uint64_t>(json.get<int64_t>()) >= limit)) {
      fail(at, str("expected an index below ", limit, "; got ", json.dump()));
    }
    return json.get<size_t>();
  }

  Tensor value(const Json& json, const std::string& at,
               const std::vector<std::vector<Tensor>>& nodes) const {
    if (!json.is_array()) return nodes[index(json, at, nodes.size())].at(0);
    if (json.size() != 2) fail(at, "a value is a node's number or [node, output]");
    const auto& outputs = nodes[index(json[0], at, nodes.size())];
    return outputs[index(json[1], at, outputs.size())];
  }

  Shape shape(const Json& json, const std::string& at) const {
    if (!json.is_array()) fail(at, "expected a list of dimensions");
    std::vector<Dim> dims;
    for (const Json& dim : json) {
      if (dim.is_string()) {
        dims.push_back(guarded(at, [&] { return Dim::parse(dim.get<std::string>()); }));
      } else if (dim.is_number_integer()) {
        dims.emplace_back(dim.get<int64_t>());
      } else {
        fail(at, str("a dimension is an integer or a text; got ", dim.dump()));
      }
    }
    return guarded(at, [&] { return Shape(std::move(dims)); });
  }

  Type type(const Json& json, const std::string& at) const {
    const Json& entry = array(json, at, "type");
    if (entry.size() != 2 || !entry[0].is_string()) fail(at, "a type is [dtype, dimensions]");
    DType dtype = guarded(at, [&] { return dtype_from_name(entry[0].get<std::string>()); });
    return {dtype, shape(entry[1], at)};
  }

  double number(const Json& json, const std::string& at) const {
    if (json.is_number()) return json.get<double>();
    if (json == "inf") return INFINITY;
    if (json == "-inf") return -INFINITY;
    if (json == "nan") return NAN;
    fail(at, str("expected a number; got ", json.dump()));
  }

  AttrValue attribute(const Json& json, const std::string& at) const {
    if (json.is_boolean()) return json.get<bool>();
    if (json.is_number_integer()) return json.get<int64_t>();
    if (json.is_number_float()) return json.get<double>();
    if (json.is_string()) return json.get<std::string>();
    if (json.is_array()) {
      std::vector<int64_t> list;
      for (const Json& element : json) {
        if (!element.is_number_integer()) fail(at, "expected a list of integers");
        list.push_back(element.get<int64_t>());
      }
      return list;
    }
    require_fields(json, at, {"f64", "f64s", "dtype", "shape"});
    if (json.size() != 1) fail(at, "expected one field");
    const std::string kind = json.begin().key();
    if (kind == "f64") return number(json[kind], at);
    if (kind == "shape") return shape(json[kind], at);
    if (kind == "dtype") {
      return guarded(at, [&] { return dtype_from_name(text(json, at, "dtype")); });
    }
    std::vector<double> list;
    for (const Json& element : array(json, at, "f64s")) list.push_back(number(element, at));
    return list;
  }

  AttrList attributes(const Json& json, const std::string& at) const {
    AttrList list;
    if (!json.contains("attrs")) return list;
    if (!json["attrs"].is_object()) fail(at, "field 'attrs' is no object");
    for (const auto& [key, value] : json["attrs"].items()) {
      list.emplace_back(key, attribute(value, str(at, " attribute '", key, "'")));
    }
    return list;
  }

  Tensor constant(const Json& json, const std::string& at) const {
    Type wanted = type(json, at);
    if (json.contains("data") == json.contains("tensor")) {
      fail(at, "a constant has either 'data' or 'tensor'");
    }
    if (!wanted.shape.is_static()) fail(at, "a constant has a symbolic dimension");
    if (json.contains("data")) {
      return guarded(at, [&] {
        std::vector<std::byte> bytes = base64_decode(text(json, at, "data"));
        WAFER_REQUIRE(bytes.size() == wanted.bytes(), "data", bytes.size(), " bytes for ", wanted,
                      ", which has ", wanted.bytes());
        return Tensor::from_bytes(wanted.dtype, wanted.shape, bytes);
      });
    }
    std::string tensor_name = text(json, at, "tensor");
    Tensor tensor = guarded(at, [&] { return lookup_(tensor_name); });
    if (!tensor) fail(at, str("no tensor '", tensor_name, "'"));
    if (!(tensor.dtype() == wanted.dtype && tensor.shape() == wanted.shape)) {
      fail(at, str("tensor '", tensor_name, "' is ", tensor.type(), "; expected ", wanted));
    }
    return tensor;
  }

  std::vector<Tensor> node(const Json& json, const std::string& at,
                           const std::vector<std::vector<Tensor>>& nodes, int depth) {
    if (!json.is_object()) fail(at, "expected an object");
    std::string op_name = text(json, at, "op");
    const OpDef* def = find_op(op_name);
    if (!def) {
      std::vector<std::string> names;
      for (const OpDef* known : all_ops()) names.emplace_back(known->name);
      fail(at, str("unknown op '", op_name, "'", did_you_mean(op_name, names)));
    }
    std::string here = str(at, " (", op_name, ")");
    PathScope scope = PathScope::whole(json.contains("path") ? text(json, here, "path") : "");
    if (def == &op::constant) {
      require_fields(json, here, {"op", "type", "data", "tensor", "path"});
      return {constant(json, here)};
    }
    if (def == &op::input) {
      require_fields(json, here, {"op", "type", "attrs", "path"});
      Attrs attrs = guarded(here, [&] { return Attrs::read<InputAttrs>(attributes(json, here)); });
      return {make_input(type(json, here), attrs.as<InputAttrs>().name)};
    }
    require_fields(json, here, {"op", "inputs", "attrs", "path", "subgraphs"});
    std::vector<Tensor> inputs;
    if (json.contains("inputs")) {
      for (const Json& entry : array(json, here, "inputs")) {
        inputs.push_back(value(entry, here + " inputs", nodes));
      }
    }
    auto [least, most] = arity(*def);
    if (inputs.size() < least || inputs.size() > most) {
      fail(here, str(inputs.size(), " inputs; expected ", least,
                     least == most ? ""
                     : most > 100  ? " or more"
                                   : str(" to ", most)));
    }
    std::vector<std::shared_ptr<const Graph>> subgraphs;
    if (json.contains("subgraphs")) {
      const Json& list = array(json, here, "subgraphs");
      for (size_t i = 0; i < list.size(); ++i) {
        subgraphs.push_back(std::make_shared<const Graph>(
            graph(list[i], str(here, " subgraphs[", i, "] "), false, depth + 1)));
      }
    }
    AttrList list = attributes(json, here);
    if (def == &op::reorder || def == &op::fused) fail(here, "the op is made by passes alone");
    for (const auto& [key, value] : list) {
      auto* axis = std::get_if<int64_t>(&value);
      auto* axes = std::get_if<std::vector<int64_t>>(&value);
      bool negative = (key == "axis" && axis && *axis < 0) ||
                      (key == "axes" && axes &&
                       std::any_of(axes->begin(), axes->end(), [](int64_t a) { return a < 0; }));
      if (negative) fail(here, str("attribute '", key, "' is negative"));
    }
    if (!def->read_attrs && !list.empty()) fail(here, "the op has no attributes");
    return guarded(here, [&] {
      Attrs attrs = def->read_attrs ? def->read_attrs(list) : Attrs();
      return make_node(*def, std::move(inputs), std::move(attrs), std::move(subgraphs));
    });
  }

  void read_alias(const Json& json, const std::string& at, Graph& graph) const {
    const Json& list = array(json, at, "alias");
    if (list.size() != graph.outputs.size()) fail(at + "alias", "one entry an output is needed");
    for (const Json& entry : list) {
      bool none = entry.is_number_integer() && entry.get<int64_t>() == -1;
      graph.alias.push_back(
          none ? -1 : static_cast<int>(index(entry, at + "alias", graph.inputs.size())));
    }
  }

  const TensorLookup& lookup_;
  std::string where_;
};

}  // namespace

GraphText write_graph(const Graph& graph) {
  Writer writer;
  Json json = {{"format", "wafer-graph"}, {"version", format_version}};
  json.update(writer.graph(graph));
  return {json.dump(), std::move(writer.tensors)};
}

Graph read_graph(const std::string& json, const TensorLookup& lookup, const std::string& where) {
  Json parsed;
  try {
    parsed = Json::parse(json);
  } catch (const Json::parse_error& error) {
    throw UserError(where, str("the graph is no JSON: error at byte ", error.byte));
  } catch (const Json::out_of_range&) {
    throw UserError(where, "the graph holds a number beyond the range of a 64-bit float");
  }
  bool known = parsed.is_object() && parsed.contains("format") &&
               parsed["format"] == "wafer-graph" && parsed.contains("version");
  WAFER_REQUIRE(known, where, "no wafer graph: field 'format' or 'version' is missing or wrong");
  WAFER_REQUIRE(parsed["version"] == format_version, where, "version ", parsed["version"].dump(),
                " of the graph format; this program reads version ", format_version);
  return Reader(lookup, where).graph(parsed, "", true, 0);
}

}  // namespace wafer
