#include "wafer/pass/join_updates.h"

#include <map>
#include <unordered_set>

#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/pass/epilogue.h"
#include "wafer/pass/value.h"

namespace wafer {

namespace {
size_t values_of(const Node& node) {
  return node.inputs.size() + node.outputs.size();
}

// The groups that may be joined, in the order of the graph's outputs.
std::vector<const Node*> updates(const Graph& graph, const JoinLimits& limits) {
  std::unordered_set<const Node*> read, met;
  for (const Node* node : topological_order(graph)) {
    for (const Tensor& input : node->inputs) read.insert(&input.node());
  }
  std::vector<const Node*> result;
  for (const Tensor& output : graph.outputs) {
    const Node& node = output.node();
    if (!met.insert(&node).second || read.count(&node)) continue;
    if (!node.is(op::fused) || node.subgraphs.size() != 1 || contraction_group(node)) continue;
    const Shape& shape = node.outputs[0].shape;
    if (shape.is_static() && shape.elements() <= limits.elements) result.push_back(&node);
  }
  return result;
}

// Replaces the outputs of the nodes by those of one node that does the work of all.
void join(const std::vector<const Node*>& nodes, std::map<Value, Tensor>& replaced) {
  if (nodes.size() < 2) return;
  std::vector<std::shared_ptr<const Graph>> groups;
  std::vector<Tensor> inputs;
  std::vector<Type> types;
  for (const Node* node : nodes) {
    groups.push_back(node->subgraphs[0]);
    inputs.insert(inputs.end(), node->inputs.begin(), node->inputs.end());
    types.insert(types.end(), node->outputs.begin(), node->outputs.end());
  }
  PathScope scope = PathScope::whole(nodes[0]->path);
  Tensor first = fuse_together(std::move(groups), inputs)[0];
  std::vector<Tensor> outputs = clone_node(first.node(), inputs, types);
  size_t next = 0;
  for (const Node* node : nodes) {
    for (size_t i = 0; i < node->outputs.size(); ++i)
      replaced[{node, static_cast<int>(i)}] = outputs[next++];
  }
}
}  // namespace

Graph join_updates(const Graph& graph, const JoinLimits& limits) {
  std::map<Value, Tensor> replaced;
  std::vector<const Node*> together;
  size_t values = 0;
  for (const Node* node : updates(graph, limits)) {
    if (values + values_of(*node) > limits.values) {
      join(together, replaced);
      together.clear();
      values = 0;
    }
    together.push_back(node);
    values += values_of(*node);
  }
  join(together, replaced);
  Graph result = graph;
  for (Tensor& output : result.outputs) {
    auto found = replaced.find(key(output));
    if (found != replaced.end()) output = found->second;
  }
  return result;
}

}  // namespace wafer
