#include "wafer/deploy/onnx/export/emit.h"

#include <algorithm>

#include "wafer/ir/convert.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::onnx::exporter {

Setting::Setting(int64_t value) {
  kind = Kind::integer;
  i = value;
}
Setting::Setting(double value) {
  kind = Kind::number;
  f = value;
}
Setting::Setting(const char* value) : Setting(std::string(value)) {}
Setting::Setting(const std::string& value) {
  kind = Kind::text;
  s = value;
}
Setting::Setting(const Ints& value) {
  kind = Kind::integers;
  ints = value;
}
Setting::Setting(const std::vector<std::string>& value) {
  kind = Kind::texts;
  strings = value;
}
Setting::Setting(Value value) {
  kind = Kind::tensor;
  t = std::move(value);
}
Setting::Setting(std::shared_ptr<const GraphDef> value) {
  kind = Kind::graph;
  g = std::move(value);
}

// ---- names and values ----

std::string Emitter::fresh(const std::string& wanted) {
  std::string name = wanted;
  for (int n = 1; !names_.insert(name).second; ++n) name = str(wanted, "_", n);
  return name;
}

void Emitter::bind(const Tensor& tensor, const Ref& ref) {
  frames_.back().values[{&tensor.node(), tensor.index()}] = ref;
}

const Ref* Emitter::find(const Key& key) const {
  for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
    auto found = frame->values.find(key);
    if (found != frame->values.end()) return &found->second;
  }
  return nullptr;
}

Ref Emitter::in(const Tensor& tensor) {
  Key key{&tensor.node(), tensor.index()};
  if (const Ref* ref = find(key)) return *ref;
  if (tensor.node().is(wafer::op::constant)) return constant(tensor);
  write(tensor.node());  // one that was left until it is asked for
  const Ref* ref = find(key);
  WAFER_CHECK(ref != nullptr, "no value of ", tensor.node().op->name);
  return *ref;
}

Refs Emitter::operands(const std::vector<Tensor>& tensors, const Shape& shape) {
  std::vector<Tensor> sources;
  Shape together;
  for (const Tensor& tensor : tensors) {
    bool widened = tensor.node().is(wafer::op::broadcast_to);
    sources.push_back(widened ? tensor.node().inputs[0] : tensor);
    together = broadcast_shapes(together, sources.back().shape(), "export");
  }
  Refs refs;
  for (const Tensor& tensor : together == shape ? sources : tensors) refs.push_back(in(tensor));
  return refs;
}

// ---- nodes ----

Refs Emitter::ops(const std::string& type, const Refs& inputs, const std::vector<DType>& outs,
                  const Settings& settings) {
  NodeDef node;
  node.op_type = type;
  node.name = fresh(path_.empty() ? type : str(path_, "/", type));
  for (const Ref& input : inputs) node.inputs.push_back(input.name);
  while (!node.inputs.empty() && node.inputs.back().empty()) node.inputs.pop_back();
  for (const auto& [key, setting] : settings) node.attributes.emplace(key, setting);
  Refs refs;
  for (size_t i = 0; i < outs.size(); ++i) {
    refs.push_back({i == 0 ? node.name : fresh(str(node.name, "_output_", i)), outs[i]});
    node.outputs.push_back(refs.back().name);
  }
  targets_.back()->nodes.push_back(std::move(node));
  return refs;
}

Ref Emitter::op(const std::string& type, const Refs& inputs, DType out, const Settings& settings) {
  return ops(type, inputs, {out}, settings)[0];
}

Ref Emitter::same(const std::string& type, const Refs& inputs, const Settings& settings) {
  DType dtype = inputs.at(0).dtype, computed = computed_in(type, dtype);
  Refs cast_inputs;
  for (const Ref& input : inputs) cast_inputs.push_back(input ? cast(input, computed) : input);
  return cast(op(type, cast_inputs, computed, settings), dtype);
}

Ref Emitter::cast(const Ref& x, DType dtype) {
  if (x.dtype == dtype) return x;
  return op("Cast", {x}, dtype, {{"to", static_cast<int64_t>(element_type_of(dtype))}});
}

Ref Emitter::reshape(const Ref& x, const Shape& shape) {
  if (shape.is_static()) {
    Ints sizes = shape.sizes();
    bool empty = std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
    Settings settings;
    if (empty) settings = {{"allowzero", 1}};  // else 0 means: as it was
    return op("Reshape", {x, ints(sizes)}, x.dtype, settings);
  }
  Ints sizes;
  bool simple = true, symbolic = false;
  for (const Dim& dim : shape.dims()) {
    simple = simple && !(symbolic && !dim.is_static()) && !(dim == Dim(0));
    symbolic = symbolic || !dim.is_static();
    sizes.push_back(dim.is_static() ? dim.value() : -1);
  }
  return op("Reshape", {x, simple ? ints(sizes) : this->shape(shape)}, x.dtype);
}

Ref Emitter::transpose(const Ref& x, const Ints& permutation) {
  return op("Transpose", {x}, x.dtype, {{"perm", permutation}});
}

Ref Emitter::slice(const Ref& x, const Ints& starts, const Ints& ends, const Ints& axes,
                   const Ints& steps) {
  if (axes.empty()) return x;
  return op("Slice", {x, ints(starts), ints(ends), ints(axes), steps.empty() ? Ref() : ints(steps)},
            x.dtype);
}

Ref Emitter::unsqueeze(const Ref& x, const Ints& axes) {
  return axes.empty() ? x : op("Unsqueeze", {x, ints(axes)}, x.dtype);
}
Ref Emitter::squeeze(const Ref& x, const Ints& axes) {
  return axes.empty() ? x : op("Squeeze", {x, ints(axes)}, x.dtype);
}
Ref Emitter::concat(const Refs& parts, int64_t axis) {
  return op("Concat", parts, parts.at(0).dtype, {{"axis", axis}});
}

// ---- constants and shapes ----

Ref Emitter::constant(const Tensor& value) {
  WAFER_CHECK(value.storage() != nullptr, "a constant without its value");
  size_t bytes = value.type().bytes();
  std::string key = str(value.type(), ":");
  constexpr size_t shared = 1024;
  if (bytes <= shared)
    key.append(static_cast<const char*>(on_host(value.storage())->data()), bytes);
  else
    key += str("at ", value.storage()->data());
  auto found = constants_.find(key);
  if (found != constants_.end()) return found->second;
  Ref ref{fresh("constant"), value.dtype()};
  top_.initializers.emplace_back(ref.name, value);
  return constants_[key] = ref;
}

Ref Emitter::ints(const Ints& values) {
  return constant(Tensor::from_values(values, Shape{static_cast<int64_t>(values.size())}));
}
Ref Emitter::integer(int64_t value) {
  return constant(Tensor::from_values(Ints{value}, Shape{}));
}

Ref Emitter::scalar(double value, DType dtype) {
  return visit(dtype, [&]<class T>(std::type_identity<T>) {
    return constant(Tensor::from_values(std::vector<T>{convert<T>(value)}, Shape{}));
  });
}

Ref Emitter::ones(const Ints& sizes, DType dtype) {
  auto count = static_cast<size_t>(Shape(sizes).elements());
  return visit(dtype, [&]<class T>(std::type_identity<T>) {
    return constant(Tensor::from_values(std::vector<T>(count, convert<T>(1.0)), Shape(sizes)));
  });
}

void Emitter::learn_symbols(const Ref& input, const Shape& shape) {
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const Dim& dim = shape[axis];
    if (!dim.is_static() && Dim::symbol(dim.text()) == dim)
      symbols_.emplace(dim.text(), std::pair(input, axis));
  }
}

Ref Emitter::symbol(const std::string& name) {
  Ref& value = symbol_values_[name];
  if (!value) {
    const auto& [input, axis] = symbols_.at(name);
    // In the outermost graph, where all others see it.
    targets_.push_back(&top_);
    Ref sizes = op("Shape", {input}, DType::i64);
    value = op("Gather", {sizes, ints({axis})}, DType::i64, {{"axis", 0}});
    targets_.pop_back();
  }
  return value;
}

Ref Emitter::dim(const Dim& dim) {
  if (dim.is_static()) return ints({dim.value()});
  // The constant part is what symbols of 0 leave, a coefficient what a symbol of 1 adds.
  std::map<std::string, int64_t> zero;
  for (const auto& [name, source] : symbols_) zero[name] = 0;
  Dim rest = dim.bind(zero);
  WAFER_REQUIRE(rest.is_static(), "export", "dimension '", rest, "' is the size of no input");
  Ref sum;
  auto plus = [&](const Ref& part) { sum = sum ? op("Add", {sum, part}, DType::i64) : part; };
  for (const auto& [name, source] : symbols_) {
    auto one = zero;
    one[name] = 1;
    int64_t coefficient = dim.bind(one).value() - rest.value();
    if (coefficient == 0) continue;
    Ref value = symbol(name);
    plus(coefficient == 1 ? value : op("Mul", {value, ints({coefficient})}, DType::i64));
  }
  if (rest.value() != 0) plus(ints({rest.value()}));
  return sum;
}

Ref Emitter::shape(const Shape& shape) {
  if (shape.is_static()) return ints(shape.sizes());
  Refs parts;
  for (const Dim& each : shape.dims()) parts.push_back(dim(each));
  return parts.size() == 1 ? parts[0] : concat(parts, 0);
}

// ---- graphs ----

namespace {
// Without broadcasts and reshapes.
Tensor bare(const Tensor& x) {
  Tensor at = x;
  while (at.node().is(op::broadcast_to) || at.node().is(op::reshape)) at = at.node().inputs[0];
  return at;
}

Emitter::Biased match_bias(const Node& sum) {
  if (!sum.is(op::add)) return {};
  for (size_t i = 0; i < 2; ++i) {
    const Tensor &product = sum.inputs[i], &other = sum.inputs[1 - i];
    const Node& node = product.node();
    bool channels = node.is(op::conv) || node.is(op::conv_input_gradient);
    if (!channels && !(node.is(op::matmul) && product.rank() == 2)) continue;
    if (!other.node().is(op::broadcast_to) || !is_floating(other.dtype())) continue;
    // As it is broadcast: [channels, 1, ...] or [1, channels, 1, ...]; [n] or [1, n].
    const Shape& lined = other.node().inputs[0].shape();
    int axis = lined.rank() - (channels ? product.rank() - 1 : 1);
    Tensor bias = bare(other);
    const Dim& wanted = product.shape()[1];
    bool fits = bias.rank() == 1 && bias.shape()[0] == wanted && axis >= 0 && axis < lined.rank() &&
                lined[axis] == wanted;
    for (int d = 0; d < lined.rank(); ++d) fits = fits && (d == axis || lined[d] == Dim(1));
    if (fits) return {&node, bias};
  }
  return {};
}
}  // namespace

Emitter::Biased Emitter::biased(const Node& sum) const {
  Biased found = match_bias(sum);
  return found.contraction && frames_.back().absorbed.count(found.contraction) ? found : Biased();
}

bool Emitter::reads(const Node& node, int output) const {
  return frames_.back().read.count({&node, output}) != 0;
}

void Emitter::write(const Node& node) {
  std::string outer = std::exchange(path_, node.path);
  const RuleEntry* entry = find_rule(node.op);
  WAFER_CHECK(entry != nullptr, "no rule writes ", node.op->name);
  Refs refs = entry->rule(*this, node);
  for (size_t i = 0; i < refs.size(); ++i) {
    WAFER_CHECK(!refs[i] || refs[i].dtype == node.outputs[i].dtype, node.op->name, ": output ", i,
                " is ", refs[i].dtype);
    if (refs[i]) frames_.back().values[{&node, static_cast<int>(i)}] = refs[i];
  }
  path_ = outer;
}

void Emitter::write_nodes(const Graph& graph) {
  auto order = topological_order(graph);
  std::map<const Node*, int> uses;
  auto use = [&](const Tensor& tensor) {
    ++uses[&tensor.node()];
    frames_.back().read.insert({&tensor.node(), tensor.index()});
  };
  for (const Node* node : order)
    for (const Tensor& input : node->inputs) use(input);
  for (const Tensor& output : graph.outputs) use(output);
  for (const Node* node : order) {
    Biased found = match_bias(*node);
    if (found.contraction && uses[found.contraction] == 1)
      frames_.back().absorbed.insert(found.contraction);
  }
  for (const Node* node : order) {
    // Left until they are asked for: constants, and what operators do themselves.
    bool later = node->is(wafer::op::input) || node->is(wafer::op::constant) ||
                 node->is(wafer::op::broadcast_to) || frames_.back().absorbed.count(node) != 0;
    if (!later && !find({node, 0})) write(*node);
  }
}

Refs Emitter::inlined(const Graph& graph, const Refs& inputs) {
  frames_.emplace_back();
  for (size_t i = 0; i < inputs.size(); ++i) bind(graph.inputs[i], inputs[i]);
  write_nodes(graph);
  Refs outputs;
  for (const Tensor& output : graph.outputs) outputs.push_back(in(output));
  frames_.pop_back();
  return outputs;
}

namespace {
ValueInfo info_of(const std::string& name, const Type& type) {
  ValueInfo info;
  info.name = name;
  info.type.kind = TypeDef::Kind::tensor;
  info.type.element = element_type_of(type.dtype);
  info.type.has_shape = true;
  info.type.dims = type.shape.dims();
  return info;
}
}  // namespace

std::shared_ptr<const GraphDef> Emitter::subgraph(const std::vector<Type>& inputs,
                                                  const std::function<Refs(const Refs&)>& body,
                                                  const std::vector<Type>& outputs) {
  auto graph = std::make_shared<GraphDef>();
  graph->name = fresh(path_.empty() ? "graph" : path_ + "/graph");
  targets_.push_back(graph.get());
  Refs refs;
  for (const Type& type : inputs) {
    refs.push_back({fresh(graph->name + "/input"), type.dtype});
    graph->inputs.push_back(info_of(refs.back().name, type));
  }
  Refs results = body(refs);
  for (size_t i = 0; i < results.size(); ++i) {
    // Always by a node of this graph, each once.
    Ref out = op("Identity", {results[i]}, results[i].dtype);
    graph->outputs.push_back(info_of(out.name, outputs[i]));
  }
  targets_.pop_back();
  return graph;
}

Refs Emitter::outputs_of(const Graph& graph) {
  write_nodes(graph);
  Refs outputs;
  for (const Tensor& output : graph.outputs) outputs.push_back(in(output));
  return outputs;
}

void Emitter::name_output(const Ref& value, const std::string& name) {
  NodeDef node;
  node.op_type = "Identity";
  node.name = fresh(name + "/Identity");
  node.inputs = {value.name};
  node.outputs = {name};
  top_.nodes.push_back(node);
}

}  // namespace wafer::onnx::exporter
