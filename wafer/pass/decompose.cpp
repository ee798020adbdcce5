#include "wafer/pass/decompose.h"

#include "wafer/op/op.h"

namespace wafer {

namespace {
// Rebuilds `value`'s decomposition until every node on the way to `inputs` is supported.
std::vector<Tensor> expand(const Node& node, const std::vector<Tensor>& inputs,
                           const Target& target);

Support support_of(const Node& node, const Target& target) {
  if (node.is(op::input) || node.is(op::constant)) return {};
  return target.supports(node);
}

Graph decompose_graph(const Graph& graph, const Target& target) {
  return rewrite(graph,
                 [&](const Node& node,
                     const std::vector<Tensor>& inputs) -> std::optional<std::vector<Tensor>> {
                   Support support = support_of(node, target);
                   if (!support) {
                     if (node.op->is_primitive()) {
                       std::string at = node.path.empty() ? "" : " (at " + node.path + ")";
                       throw UserError(node.op->name, str("not supported by target ", target.name(),
                                                          at, ": ", support.reason));
                     }
                     return expand(node, inputs, target);
                   }
                   if (node.subgraphs.empty()) return std::nullopt;
                   auto subgraphs = node.subgraphs;
                   for (auto& subgraph : subgraphs)
                     subgraph = std::make_shared<const Graph>(decompose_graph(*subgraph, target));
                   return make_node(*node.op, inputs, node.attrs, subgraphs);
                 });
}

std::vector<Tensor> expand(const Node& node, const std::vector<Tensor>& inputs,
                           const Target& target) {
  // As a graph of its own, so that only the new nodes are walked.
  Graph part;
  for (const Tensor& input : inputs) part.inputs.push_back(make_input(input.type(), ""));
  part.outputs = node.op->decompose(node, part.inputs);
  return inline_graph(decompose_graph(part, target), inputs);
}
}  // namespace

Graph decompose(const Graph& graph, const Target& target) {
  return decompose_graph(graph, target);
}

}  // namespace wafer
