#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "wafer/deploy/onnx/onnx.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/graph_json.h"
#include "wafer/op/shape_ops.h"

namespace wafer::onnx {

namespace {
using Json = nlohmann::ordered_json;

enum class Use { parameter, buffer, constant };  // a later one wins where there are several

// What input `index` of a node is to training.
Use use_of(const NodeDef& node, size_t index, const Tensor& value) {
  static const std::set<std::string> layers = {"Conv",
                                               "ConvTranspose",
                                               "Gemm",
                                               "MatMul",
                                               "PRelu",
                                               "LSTM",
                                               "GRU",
                                               "RNN",
                                               "Einsum",
                                               "BatchNormalization",
                                               "Gather",
                                               "LayerNormalization",
                                               "InstanceNormalization",
                                               "GroupNormalization",
                                               "RMSNormalization",
                                               "DeformConv"};
  static const std::set<std::string> shifts = {"Add", "Sum", "Mul"};
  static const std::set<std::string> free = {"Transpose", "Reshape", "Squeeze", "Unsqueeze",
                                             "Concat",    "Split",   "Cast",    "Expand"};
  const std::string& op = node.op_type;
  if (!node.domain.empty()) return value.elements() > 1 ? Use::parameter : Use::constant;
  if (op == "BatchNormalization" && index >= 3) return Use::buffer;
  if (op == "Sub" || op == "Div") return value.elements() > 1 ? Use::buffer : Use::constant;
  bool many = value.elements() > 1, first = index == 0;
  if (layers.count(op)) return op == "Gather" && !first ? Use::constant : Use::parameter;
  if (shifts.count(op))
    return many || (op == "Add" && value.rank() > 0) ? Use::parameter : Use::constant;
  bool data_input = first || op == "Concat";
  return free.count(op) && data_input && many ? Use::parameter : Use::constant;
}

class Uses {
 public:
  explicit Uses(const GraphDef& graph) {
    for (const auto& [name, value] : graph.initializers) {
      bool weight = value.tensor && !is_carried(value.type) && value.tensor.dtype() == DType::f32 &&
                    value.tensor.elements() > 0;
      if (weight) values_.emplace(name, value.tensor);
    }
    read(graph);
    for (const ValueInfo& output : graph.outputs) merge(output.name, Use::constant);
  }

  // Nothing for what no node reads.
  std::optional<Use> find(const std::string& name) const {
    auto found = uses_.find(name);
    return found == uses_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  void read(const GraphDef& graph) {
    for (const NodeDef& node : graph.nodes) {
      if (node.op_type == "Identity" && node.domain.empty() && node.inputs.size() == 1) {
        aliases_[node.outputs.at(0)] = root(node.inputs[0]);
        continue;
      }
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        auto value = values_.find(root(node.inputs[i]));
        if (value != values_.end()) merge(value->first, use_of(node, i, value->second));
      }
      for (const auto& [name, attribute] : node.attributes)
        if (attribute.g) read(*attribute.g);
    }
  }
  std::string root(const std::string& name) const {
    auto found = aliases_.find(name);
    return found == aliases_.end() ? name : found->second;
  }
  void merge(const std::string& name, Use use) {
    if (!values_.count(root(name))) return;
    auto [at, fresh] = uses_.emplace(root(name), use);
    if (!fresh) at->second = std::max(at->second, use);
  }

  std::map<std::string, Tensor> values_;
  std::map<std::string, std::string> aliases_;  // outputs of Identity nodes
  std::map<std::string, Use> uses_;
};

// Weights that the file keeps in Constant nodes, as initializers.
std::shared_ptr<const ModelDef> with_initializers(const ModelDef& model) {
  auto copy = std::make_shared<ModelDef>(model);
  auto weight = [&](const NodeDef& node) -> const Value* {
    auto value = node.attributes.find("value");
    bool tensor = node.op_type == "Constant" && node.domain.empty() &&
                  value != node.attributes.end() && value->second.t.tensor &&
                  value->second.t.type == ElementType::f32;
    return tensor && node.outputs.size() == 1 ? &value->second.t : nullptr;
  };
  for (const NodeDef& node : copy->graph.nodes)
    if (const Value* value = weight(node))
      copy->graph.initializers.emplace_back(node.outputs[0], *value);
  std::erase_if(copy->graph.nodes, [&](const NodeDef& node) { return weight(node) != nullptr; });
  return copy;
}

// Sizes that no dimension of a model is likely to have, so that no broadcast is left out.
constexpr int64_t first_batch = 1009, batch_step = 4;

struct NotAffine {};

// One graph from its texts at three sizes of batch: numbers that differ must be affine in it.
Json merge(const Json& a, const Json& b, const Json& c) {
  if (a == b && b == c) return a;
  if (a.is_number_integer() && b.is_number_integer() && c.is_number_integer()) {
    int64_t at = a.get<int64_t>(), step = b.get<int64_t>() - at;
    if (c.get<int64_t>() - b.get<int64_t>() != step || step % batch_step != 0) throw NotAffine();
    int64_t factor = step / batch_step;
    return (Dim::symbol("batch") * Dim(factor) + Dim(at - factor * first_batch)).text();
  }
  bool nested = a.is_structured() && a.type() == b.type() && b.type() == c.type() &&
                a.size() == b.size() && b.size() == c.size();
  if (!nested) throw NotAffine();
  Json result = a;
  if (a.is_array()) {
    for (size_t i = 0; i < a.size(); ++i) result[i] = merge(a[i], b[i], c[i]);
    return result;
  }
  for (const auto& [key, value] : a.items()) {
    if (!b.contains(key) || !c.contains(key)) throw NotAffine();
    result[key] = merge(value, b[key], c[key]);
  }
  return result;
}

bool same_tensors(const GraphText& a, const GraphText& b) {
  if (a.tensors.size() != b.tensors.size()) return false;
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    const Tensor &x = a.tensors[i].second, &y = b.tensors[i].second;
    if (a.tensors[i].first != b.tensors[i].first || !(x.type() == y.type())) return false;
    x.eval();
    y.eval();
    auto left = on_host(x.storage()), right = on_host(y.storage());
    if (std::memcmp(left->data(), right->data(), x.type().bytes()) != 0) return false;
  }
  return true;
}

// The graph that `make` gives for any size of batch.
Graph with_any_batch(const std::function<Graph(int64_t batch)>& make, const std::string& where) {
  GraphText a = write_graph(make(first_batch)), b = write_graph(make(first_batch + batch_step)),
            c = write_graph(make(first_batch + 2 * batch_step));
  auto lookup = [&](const std::string& name) {
    for (const auto& [key, tensor] : a.tensors)
      if (key == name) return tensor;
    return Tensor();
  };
  try {
    if (!same_tensors(a, b) || !same_tensors(b, c)) throw NotAffine();
    Json merged = merge(Json::parse(a.json), Json::parse(b.json), Json::parse(c.json));
    return read_graph(merged.dump(), lookup, where);
  } catch (const NotAffine&) {
    throw UserError(where, "the model does something else for each size of batch",
                    {.hint = "take what depends on the batch out of it and export it again"});
  } catch (const UserError& error) {
    throw UserError(where, str("the model cannot be made for any size of batch: ", error.what()));
  }
}

// Names that stand beside each other in a module: not empty, none with another and a dot in front.
std::string free_name(std::string name, const std::set<std::string>& taken) {
  if (name.empty()) name = "weight";
  auto clashes = [&] {
    for (const std::string& other : taken)
      if (other == name || other.starts_with(name + ".") || name.starts_with(other + "."))
        return true;
    return false;
  };
  while (clashes()) name += "_";
  return name;
}

Shape with_batch(const Shape& shape, const Dim& batch) {
  auto dims = shape.dims();
  dims.insert(dims.begin(), batch);
  return Shape(dims);
}

// How one example of the data goes into the model's input.
struct Fit {
  Type input;                  // of one example, as the model takes it
  bool channels_last = false;  // [height, width, channels]
};

Fit fit(const ValueInfo& info, const Type& example, const std::string& where) {
  const TypeDef& type = info.type;
  auto refuse = [&](const std::string& what, const std::string& hint) {
    throw UserError(where, str("input '", info.name, "' does not fit the data: ", what),
                    {.got = str("examples of ", example),
                     .expected = str(type.text(), ", the batch first"),
                     .hint = hint});
  };
  bool tensor = type.kind == TypeDef::Kind::tensor && type.element != ElementType::undefined &&
                type.element != ElementType::string;
  if (!tensor) refuse("it is no tensor of numbers", "");
  Fit result{{carrier(type.element), example.shape}};
  bool indices = example.dtype == DType::i64 && result.input.dtype == DType::i32;
  if (result.input.dtype != example.dtype && !indices)
    refuse("it holds another type", "export the model in that type");
  if (!type.has_shape) return result;
  auto matches = [&](const Shape& shape) {
    if (static_cast<int>(type.dims.size()) != shape.rank() + 1) return false;
    for (int i = 0; i < shape.rank(); ++i) {
      const Dim& wanted = type.dims[static_cast<size_t>(i) + 1];
      if (wanted.is_static() && !(wanted == shape[i])) return false;
    }
    return true;
  };
  if (matches(example.shape)) return result;
  if (example.shape.rank() == 3) {
    Shape last{example.shape[1], example.shape[2], example.shape[0]};
    if (matches(last)) return {{result.input.dtype, last}, true};
  }
  refuse("wrong shape", "give data of that shape, or export the model for the data's");
  return result;
}
}  // namespace

Session::TrainableGraph Session::trainable_graph(const Type& example) const {
  const std::string& where = model_->where;
  Session session(with_initializers(*model_));
  if (session.inputs_.size() != 1) {
    std::string names;
    for (const ValueInfo& input : session.inputs_) names += " " + input.name;
    throw UserError(where, "only models of one input can be trained",
                    {.got = str(session.inputs_.size(), " inputs:", names)});
  }
  Fit input = fit(session.inputs_[0], example, where);
  Uses uses(session.model_->graph);
  std::vector<std::string> names;
  std::vector<Tensor> values;
  TrainableGraph out;
  for (Use wanted : {Use::parameter, Use::buffer}) {
    for (const auto& [name, value] : session.model_->graph.initializers) {
      if (uses.find(name) != wanted) continue;
      names.push_back(name);
      values.push_back(value.tensor);
      out.parameters += wanted == Use::parameter;
    }
  }
  auto make = [&](int64_t batch) {
    try {
      Type whole{input.input.dtype, with_batch(input.input.shape, batch)};
      return session.trace_with(names, values, {whole});
    } catch (const UserError& error) {
      const TypeDef& type = session.inputs_[0].type;
      bool fixed = type.has_shape && !type.dims.empty() && type.dims[0].is_static();
      if (!fixed) throw;
      throw UserError(where,
                      str("the model is for batches of ", type.dims[0], " alone: ", error.what()),
                      {.hint = "export it with a batch of any size (PyTorch: dynamic_axes)"});
    }
  };
  Graph any = with_any_batch(make, where);

  // The same on inputs with names for a module, without those that nothing reads.
  std::set<const Node*> read;
  for (const Node* node : topological_order(any.outputs)) read.insert(node);
  std::set<std::string> taken;
  std::vector<Tensor> arguments;
  size_t parameters = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    std::string name = free_name(names[i], taken);
    arguments.push_back(make_input(values[i].type(), name));
    if (!read.count(&any.inputs[i].node())) continue;
    taken.insert(name);
    out.values[name] = values[i];
    out.graph.inputs.push_back(arguments.back());
    parameters += i < out.parameters;
  }
  out.parameters = parameters;
  WAFER_REQUIRE(parameters > 0, where, "the model has no weights of f32 that could be trained");
  Tensor batch =
      make_input({example.dtype, with_batch(example.shape, Dim::symbol("batch"))}, "input");
  out.graph.inputs.push_back(batch);
  if (input.channels_last) {
    batch = transpose(batch, {0, 2, 3, 1});
    out.notes.push_back("the model takes channels last: its input is transposed");
  }
  arguments.push_back(batch.dtype() == input.input.dtype ? batch : cast(batch, input.input.dtype));
  out.graph.outputs = inline_graph(any, arguments);
  return out;
}

}  // namespace wafer::onnx
