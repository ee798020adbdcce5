#include "wafer/pass/unused.h"

#include <algorithm>
#include <unordered_map>

#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"

namespace wafer {

Graph drop_unused_outputs(const Graph& graph) {
  std::unordered_map<const Node*, std::vector<bool>> used;
  auto mark = [&](const Tensor& value) {
    auto& flags = used[&value.node()];
    flags.resize(value.node().outputs.size());
    flags[static_cast<size_t>(value.index())] = true;
  };
  bool any_scan = false;
  for (const Tensor& output : graph.outputs) mark(output);
  for (const Node* node : topological_order(graph)) {
    any_scan = any_scan || node->is(op::scan);
    for (const Tensor& input : node->inputs) mark(input);
  }
  if (!any_scan) return graph;
  return rewrite(graph,
                 [&](const Node& node,
                     const std::vector<Tensor>& inputs) -> std::optional<std::vector<Tensor>> {
                   if (!node.is(op::scan)) return std::nullopt;
                   const std::vector<bool>& flags = used.at(&node);
                   std::vector<bool> stacked(
                       flags.begin() + static_cast<std::ptrdiff_t>(node.attr<ScanAttrs>().carries),
                       flags.end());
                   if (std::find(stacked.begin(), stacked.end(), false) == stacked.end())
                     return std::nullopt;
                   return scan_without(node, inputs, stacked);
                 });
}

}  // namespace wafer
