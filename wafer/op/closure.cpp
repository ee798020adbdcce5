#include "wafer/op/closure.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace wafer {

namespace {

// How each node stands to a recorded function.
struct Reach {
  std::unordered_set<const Node*> inner;     // part of the function
  std::unordered_set<const Node*> anchored;  // not part of it, and stands on a value from outside

  Reach(const Recorded& function, bool hoist) {
    for (const Tensor& parameter : function.parameters) inner.insert(&parameter.node());
    for (const Node* node : topological_order(function.outputs)) {
      if (inner.count(node)) continue;
      bool recorded = node->serial > function.start;
      bool is_inner = recorded && !hoist;
      bool is_anchored = !recorded && from_outside(*node);
      for (const Tensor& input : node->inputs) {
        is_inner = is_inner || inner.count(&input.node());
        is_anchored = is_anchored || anchored.count(&input.node());
      }
      if (is_inner)
        inner.insert(node);
      else if (is_anchored)
        anchored.insert(node);
    }
  }

  // Inputs of an enclosing trace, and what has memory already; but a scalar constant is a number of
  // the function's text.
  static bool from_outside(const Node& node) {
    if (node.is(op::input)) return true;
    bool has_memory = !node.values.empty() && node.values[0];
    return has_memory && !(node.is(op::constant) && node.outputs[0].shape.rank() == 0);
  }
};

using Replacements = std::unordered_map<const Node*, std::vector<Tensor>>;

void replace(Replacements& map, const Tensor& value, const Tensor& by) {
  auto& outputs = map[&value.node()];
  outputs.resize(value.node().outputs.size());
  outputs[static_cast<size_t>(value.index())] = by;
}

Tensor replaced(const Replacements& map, const Tensor& value) {
  auto found = map.find(&value.node());
  if (found == map.end()) return value;
  const Tensor& by = found->second[static_cast<size_t>(value.index())];
  return by ? by : value;
}

std::shared_ptr<const Graph> close(const Recorded& function, const Reach& reach,
                                   const std::vector<Tensor>& captures) {
  auto graph = std::make_shared<Graph>();
  graph->inputs = function.parameters;
  Replacements map;
  std::vector<Tensor> placeholders = placeholders_like(captures, "capture");
  for (size_t i = 0; i < captures.size(); ++i) replace(map, captures[i], placeholders[i]);
  graph->inputs.insert(graph->inputs.end(), placeholders.begin(), placeholders.end());
  for (const Node* node : topological_order(function.outputs)) {
    if (!reach.inner.count(node) || node->is(op::input)) continue;
    std::vector<Tensor> inputs;
    for (const Tensor& input : node->inputs) inputs.push_back(replaced(map, input));
    if (inputs != node->inputs) map[node] = clone_node(*node, std::move(inputs), node->outputs);
  }
  for (const Tensor& output : function.outputs) graph->outputs.push_back(replaced(map, output));
  return graph;
}

}  // namespace

Type logical(const Type& type) {
  return {type.dtype, type.shape};
}

std::vector<Tensor> placeholders_like(const std::vector<Tensor>& values, const std::string& name) {
  std::vector<Tensor> placeholders;
  for (size_t i = 0; i < values.size(); ++i) {
    placeholders.push_back(make_input(logical(values[i].type()), name + std::to_string(i)));
  }
  return placeholders;
}

Closed close_over(const std::vector<Recorded>& functions, bool hoist) {
  Closed closed;
  std::vector<Reach> reaches;
  for (const Recorded& function : functions) {
    const Reach& reach = reaches.emplace_back(function, hoist);
    auto consider = [&](const Tensor& value) {
      bool known =
          std::find(closed.captures.begin(), closed.captures.end(), value) != closed.captures.end();
      if (reach.anchored.count(&value.node()) && !known) closed.captures.push_back(value);
    };
    for (const Node* node : topological_order(function.outputs)) {
      if (!reach.inner.count(node)) continue;
      for (const Tensor& input : node->inputs) consider(input);
    }
    for (const Tensor& output : function.outputs) consider(output);
  }
  for (size_t i = 0; i < functions.size(); ++i) {
    closed.graphs.push_back(close(functions[i], reaches[i], closed.captures));
  }
  return closed;
}

}  // namespace wafer
