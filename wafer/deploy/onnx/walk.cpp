#include "wafer/deploy/onnx/walk.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <unordered_set>

#include "wafer/deploy/onnx/schema.h"
#include "wafer/ir/graph.h"
#include "wafer/op/op.h"
#include "wafer/tensor/eval.h"

namespace wafer::onnx {
namespace {
// As many elements as a process can address bytes on today's machines (2^47). A node that asks for
// more is refused by name, before its size overflows or another doubles it.
constexpr int64_t kMostElements = int64_t{1} << 47;

// Counts a level while it lives.
struct Level {
  explicit Level(int& depth) : depth_(depth) { ++depth_; }
  ~Level() { --depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  int& depth_;
};

// What a node of a graph takes in memory with its outputs' types and its path: measured.
constexpr int64_t kRecordedBytes = 450;
constexpr int64_t kAttributeBytes = 160;  // of each of its attributes
// What to prepare a node for a device takes, in operations.
constexpr double kNodeWork = 2e4;
constexpr size_t kSmallBytes = 1024;  // of a value that is kept once it was computed

int64_t host_bytes(const Value& value) {
  int64_t bytes = 0;
  if (value.strings) {
    for (const std::string& text : value.strings->values)
      bytes += static_cast<int64_t>(sizeof text + text.size());
  }
  if (value.sequence) bytes += static_cast<int64_t>(value.sequence->size() * sizeof(Value));
  return bytes;
}
}  // namespace

const Value* Scope::find(const std::string& name) const {
  for (const Scope* scope = this; scope; scope = scope->outer) {
    auto found = scope->values.find(name);
    if (found != scope->values.end()) return &found->second;
  }
  return nullptr;
}

bool Walk::known(const Tensor& tensor) const {
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> stack = {&tensor.node()};
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (!seen.insert(node).second) continue;
    if (node->is(op::input)) return false;
    if (!node->values.empty() && node->values[0]) continue;
    for (const Tensor& input : node->inputs) stack.push_back(&input.node());
  }
  return true;
}

std::string Walk::work_hint() const {
  return ahead_ ? "store sizes and conditions as constants, or run the model by wafer infer, which "
                  "computes them then"
                : "allow more by the limits of Session::run";
}

void Walk::check_node_work(const Node& n) const {
  auto refuse = [&](const auto&... what) {
    throw UserError(n.path.empty() ? n.op->name : str(n.op->name, " at ", n.path),
                    str(what..., ahead_ ? " while the model is read" : ""), {.hint = work_hint()});
  };
  if (n.is(op::while_loop) && limits_.limits_work())
    refuse("a loop whose length is not known would be run");
  for (const Type& type : n.outputs) {
    if (type.elements() > limits_.elements)
      refuse(type.elements(), " numbers, of at most ", limits_.elements, ", would be computed");
  }
  for (const auto& body : n.subgraphs)
    for (const Node* inner : topological_order(*body)) check_node_work(*inner);
}

std::vector<Tensor> Walk::check_work(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> small;
  if (!limits_.limits_work() && !limits_.limits_elements()) return small;
  std::unordered_set<const Node*> seen;
  std::vector<Tensor> stack = tensors;
  while (!stack.empty()) {
    Tensor tensor = stack.back();
    stack.pop_back();
    const Node& n = tensor.node();
    if (!seen.insert(&n).second || (!n.values.empty() && n.values[0])) continue;
    check_node_work(n);
    Cost one = cost(n);
    work_ += kNodeWork + one.flops + one.bytes;
    WAFER_REQUIRE(work_ <= limits_.work, n.path.empty() ? n.op->name : n.path, "more than ",
                  limits_.work, " operations would be done",
                  ahead_ ? " while the model is read; " : "; ", work_hint());
    if (tensor.type().bytes() <= kSmallBytes) small.push_back(tensor);
    for (const Tensor& input : n.inputs) stack.push_back(input);
  }
  return small;
}

void Walk::evaluate(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> pending;
  for (const Tensor& tensor : tensors)
    if (!tensor.storage()) pending.push_back(tensor);
  if (pending.empty()) return;
  ++segments_;
  std::vector<Tensor> small = check_work(pending);
  // Sizes are computed from sizes: what lies on the way is kept, so that no other value that is
  // read computes it again.
  if (ahead_) pending.insert(pending.end(), small.begin(), small.end());
  wafer::evaluate(pending, device_);
}

std::vector<std::byte> Walk::bytes(const Tensor& tensor, const std::string& what) {
  if (!known(tensor)) {
    throw UserError(what,
                    "its values set shapes or the course of the graph, and depend on the model's "
                    "inputs, so that they are not known when the graph is compiled",
                    {.hint = "run the model by wafer infer, which compiles it piece by piece"});
  }
  WAFER_REQUIRE(tensor.elements() <= most_host_elements, what, tensor.elements(),
                " numbers are read while the model is; expected at most ", most_host_elements);
  evaluate({tensor});
  std::vector<std::byte> out(tensor.type().bytes());
  if (out.empty()) return out;
  tensor.storage()->read(out.data(), out.size());
  return out;
}

std::vector<Value> Walk::graph(const GraphDef& graph, NamedValues inputs, const Scope* outer,
                               const Opsets& opsets,
                               const std::map<std::string, Attribute>* attributes) {
  Scope scope{outer, &opsets, attributes, std::move(inputs)};
  for (const auto& [name, value] : graph.initializers) scope.values.emplace(name, value);
  for (const NodeDef& n : graph.nodes) node(n, scope);
  std::vector<Value> outputs;
  for (const ValueInfo& output : graph.outputs) {
    const Value* value = scope.find(output.name);
    WAFER_REQUIRE(value != nullptr, model_.where, "output '", output.name, "' is made by no node");
    outputs.push_back(*value);
  }
  return outputs;
}

void Walk::check_depth(const std::string& what) const {
  WAFER_REQUIRE(depth_ <= most_depth, model_.where, what,
                ": functions and subgraphs nested more than ", most_depth, " deep");
}

std::vector<Value> Walk::subgraph(const GraphDef& g, const std::vector<Value>& inputs,
                                  const Scope& scope) {
  WAFER_REQUIRE(inputs.size() == g.inputs.size(), model_.where, "graph '", g.name, "' has ",
                g.inputs.size(), " inputs; the node gives it ", inputs.size());
  Level level(depth_);
  check_depth(str("graph '", g.name, "'"));
  NamedValues named;
  for (size_t i = 0; i < inputs.size(); ++i) named.emplace(g.inputs[i].name, inputs[i]);
  return graph(g, std::move(named), &scope, *scope.opsets, scope.attributes);
}

std::vector<Value> Walk::call(const FunctionDef& function, const NodeDef& n, Scope& scope,
                              std::vector<Value> inputs) {
  WAFER_REQUIRE(inputs.size() <= function.inputs.size(), model_.where, n.text(), ": ",
                inputs.size(), " inputs; the function takes ", function.inputs.size());
  Level level(depth_);
  check_depth(n.text());
  Context context(*this, scope, n, 1, {});
  std::map<std::string, Attribute> attributes = function.defaults;
  for (const auto& [name, attribute] : n.attributes) {
    if (const Attribute* given = context.find(name)) attributes[name] = *given;
  }
  Scope inner{nullptr, &function.opsets, &attributes, {}};
  for (size_t i = 0; i < inputs.size(); ++i) inner.values.emplace(function.inputs[i], inputs[i]);
  for (size_t i = inputs.size(); i < function.inputs.size(); ++i)
    inner.values.emplace(function.inputs[i], Value());
  for (const NodeDef& body : function.nodes) node(body, inner);
  std::vector<Value> outputs;
  for (const std::string& name : function.outputs) {
    const Value* value = inner.find(name);
    WAFER_REQUIRE(value != nullptr, model_.where, "function '", function.name, "': output '", name,
                  "' is made by no node");
    outputs.push_back(*value);
  }
  return outputs;
}

std::vector<Value> Walk::by_rule(const NodeDef& n, Scope& scope, std::vector<Value> inputs) {
  int version = check_node(n, *scope.opsets, model_.where);
  const RuleEntry* rule = find_rule(n.domain, n.op_type);
  WAFER_REQUIRE(rule != nullptr, model_.where, n.text(), ": operator ", n.op_type, " (version ",
                version, ") is not supported");
  for (const Value& input : inputs) {
    WAFER_REQUIRE(rule->any_type || !input.tensor || !is_carried(input.type), model_.where,
                  n.text(), ", version ", version, ": elements of ", input.type,
                  " are not supported; cast them first");
  }
  Context context(*this, scope, n, version, std::move(inputs));
  std::string path = n.name.empty() && !n.outputs.empty() ? n.outputs[0] : n.name;
  auto label = PathScope::whole(path);
  std::string about = str(n.text(), ", version ", version, ": ");
  try {
    return rule->rule(context);
  } catch (const UserError& error) {
    std::string text = error.what();
    // Once is enough: a node within a subgraph has said where it is.
    if (text.starts_with("[" + model_.where + "]")) throw;
    throw UserError(model_.where, about + text);
  } catch (const std::bad_alloc&) {
    throw UserError(model_.where, about + "it takes more memory than there is",
                    {.hint = "check the sizes that its inputs and attributes give"});
  } catch (const std::logic_error& error) {  // out_of_range, length_error
    throw UserError(model_.where, about + "its inputs or attributes are out of range",
                    {.got = error.what(), .hint = "check the node's inputs and attributes"});
  }
}

void Walk::hold(const Value& value, const NodeDef& n) {
  int64_t bytes = host_bytes(value);
  if (bytes == 0) return;
  std::weak_ptr<const void> alive;
  if (value.strings)
    alive = value.strings;
  else
    alive = value.sequence;
  held_.emplace_back(std::move(alive), bytes);
  held_bytes_ += bytes;
  // Those that are gone are found once in a while, so that each costs little.
  if (held_bytes_ <= 2 * limits_.host_bytes) return;
  std::erase_if(held_, [](const auto& one) { return one.first.expired(); });
  held_bytes_ = 0;
  for (const auto& [one, size] : held_) held_bytes_ += size;
  WAFER_REQUIRE(held_bytes_ <= limits_.host_bytes, model_.where, n.text(),
                ": strings and sequences of more than ", limits_.host_bytes >> 20, " MiB");
}

void Walk::count_recorded(const std::vector<Value>& outputs, uint64_t serial, const NodeDef& n) {
  if (!ahead_) return;
  bool nested = std::any_of(n.attributes.begin(), n.attributes.end(),
                            [](const auto& entry) { return entry.second.g != nullptr; });
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> stack;
  auto visit = [&](const Tensor& tensor) {
    if (tensor && tensor.node().serial > serial && seen.insert(&tensor.node()).second)
      stack.push_back(&tensor.node());
  };
  for (const Value& output : outputs) {
    visit(output.tensor);
    if (output.sequence)
      for (const Value& element : *output.sequence) visit(element.tensor);
  }
  while (!stack.empty()) {
    const Node& made = *stack.back();
    stack.pop_back();
    recorded_bytes_ += kRecordedBytes +
                       kAttributeBytes * static_cast<int64_t>(made.attrs.list().size()) +
                       static_cast<int64_t>(made.inputs.size() * sizeof(Tensor));
    for (const Tensor& input : made.inputs) visit(input);
    // The nodes of an ONNX graph within have been counted.
    if (nested) continue;
    for (const auto& body : made.subgraphs)
      recorded_bytes_ += kRecordedBytes * static_cast<int64_t>(topological_order(*body).size());
  }
  WAFER_REQUIRE(recorded_bytes_ <= model_.memory_left, model_.where, n.text(),
                ": the graph that is recorded grows larger than a file of this size may make it; "
                "keep repeated nodes in a Loop or Scan of few steps, or run the model by wafer "
                "infer, which compiles it piece by piece");
}

void Walk::node(const NodeDef& n, Scope& scope) {
  // Those of the model's own graph are no more than its file holds.
  if (depth_ > 0) ++nodes_;
  WAFER_REQUIRE(nodes_ <= limits_.nodes, model_.where, n.text(), ": more than ", limits_.nodes,
                " nodes of functions, and of subgraphs at each step");
  std::vector<Value> inputs;
  inputs.reserve(n.inputs.size());
  for (const std::string& name : n.inputs) {
    const Value* value = name.empty() ? nullptr : scope.find(name);
    WAFER_REQUIRE(name.empty() || value, model_.where, n.text(), " reads '", name,
                  "', which nothing makes");
    inputs.push_back(value ? *value : Value());
  }
  auto function = model_.functions.find({n.domain, n.op_type});
  uint64_t serial = Node::next_serial();
  std::vector<Value> outputs = function != model_.functions.end()
                                   ? call(function->second, n, scope, std::move(inputs))
                                   : by_rule(n, scope, std::move(inputs));
  if (function == model_.functions.end()) count_recorded(outputs, serial, n);
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    if (n.outputs[i].empty()) continue;
    WAFER_REQUIRE(i < outputs.size() && outputs[i], model_.where, n.text(), ": output ", i,
                  " is not supported");
    WAFER_REQUIRE(!outputs[i].tensor || outputs[i].tensor.type().elements() <= kMostElements,
                  model_.where, n.text(), ": output ", i, ", ", outputs[i].text(),
                  ", is larger than any memory");
    hold(outputs[i], n);
    scope.values[n.outputs[i]] = outputs[i];
  }
}

}  // namespace wafer::onnx
