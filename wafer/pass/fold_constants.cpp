#include "wafer/pass/fold_constants.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "wafer/op/op.h"
#include "wafer/runtime/registry.h"

namespace wafer {

namespace {
constexpr size_t limit = size_t{1} << 20;

// What a node's value is made of.
enum class Source {
  inputs,   // of the graph, at least in part
  scalars,  // one-element constants
  tables,   // other constants, iota
};

Source source_of(const Node& node, const std::unordered_map<const Node*, Source>& sources) {
  if (node.is(op::input)) return Source::inputs;
  if (node.is(op::constant) && !node.values[0]->on_host()) return Source::inputs;
  if (node.is(op::constant))
    return node.outputs[0].elements() == 1 ? Source::scalars : Source::tables;
  for (const Type& type : node.outputs) {
    if (!type.shape.is_static() || type.layout != Layout::row_major) return Source::inputs;
  }
  if (node.is(op::iota)) return Source::tables;
  if (node.inputs.empty()) return Source::inputs;
  Source result = Source::scalars;
  for (const Tensor& input : node.inputs) {
    Source source = sources.at(&input.node());
    if (source == Source::inputs) return source;
    if (source == Source::tables) result = source;
  }
  return result;
}

class Folder {
 public:
  explicit Folder(const Graph& graph) {
    auto order = topological_order(graph);
    for (const Node* node : order) sources_[node] = source_of(*node, sources_);
    for (const Node* node : order) {
      if (sources_[node] != Source::inputs) continue;
      for (const Tensor& input : node->inputs) pick(input);
    }
    for (const Tensor& output : graph.outputs) pick(output);
  }

  Graph run(const Graph& graph) {
    if (picked_.empty()) return graph;
    auto reference = device("reference");
    Graph constants;
    for (const Tensor& value : picked_) constants.outputs.push_back(value);
    auto artifact = reference->target().compile(constants, {});
    auto values = execute(*reference, *artifact, {});
    std::unordered_map<const Node*, std::vector<Tensor>> made;
    for (size_t i = 0; i < picked_.size(); ++i) {
      made[&picked_[i].node()] = {Tensor::from_storage(picked_[i].type(), values[i])};
    }
    return rewrite(
        graph,
        [&](const Node& node, const std::vector<Tensor>&) -> std::optional<std::vector<Tensor>> {
          auto found = made.find(&node);
          if (found == made.end()) return std::nullopt;
          return found->second;
        });
  }

 private:
  // Chooses the value, or where it should stay what it is, those that it is made from.
  void pick(const Tensor& value) {
    const Node& node = value.node();
    if (sources_.at(&node) != Source::tables || node.inputs.empty()) return;
    if (!seen_.insert(&node).second) return;
    if (node.outputs.size() == 1 && !node.is(op::broadcast_to) && value.type().bytes() <= limit &&
        value.dtype() <= DType::boolean) {
      picked_.push_back(value);
      return;
    }
    for (const Tensor& input : node.inputs) pick(input);
  }

  std::unordered_map<const Node*, Source> sources_;
  std::unordered_set<const Node*> seen_;
  std::vector<Tensor> picked_;
};
}  // namespace

Graph fold_constants(const Graph& graph) {
  return Folder(graph).run(graph);
}

}  // namespace wafer
