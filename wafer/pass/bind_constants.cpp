#include "wafer/pass/bind_constants.h"

#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"

namespace wafer {

namespace {
// Where a node's captures begin among its inputs, and their counterparts among its subgraphs'.
struct Captures {
  size_t outside = 0, inside = 0;
};

std::optional<Captures> captures_of(const Node& node) {
  if (node.is(op::scan)) {
    size_t first = node.attr<ScanAttrs>().first_capture();
    return Captures{first, first};
  }
  if (node.is(op::while_loop)) {
    auto first = static_cast<size_t>(node.attr<WhileAttrs>().states);
    return Captures{first, first};
  }
  if (node.is(op::if_else)) return Captures{1, 0};
  return std::nullopt;
}

// The value as a constant without inputs; an empty tensor where it is none.
Tensor constant_of(const Tensor& value) {
  const Node& node = value.node();
  if (node.is(op::constant)) return value;
  if (!node.is(op::reshape) || node.outputs[0].layout != Layout::row_major) return {};
  Tensor whole = constant_of(node.inputs[0]);
  if (!whole || whole.type().layout != Layout::row_major) return {};
  return Tensor::from_storage(value.type(), whole.node().values[0]);
}
}  // namespace

Graph bind_constants(const Graph& graph) {
  return rewrite(graph,
                 [](const Node& node,
                    const std::vector<Tensor>& inputs) -> std::optional<std::vector<Tensor>> {
                   auto captures = captures_of(node);
                   if (!captures) return std::nullopt;
                   std::vector<Tensor> kept, constants(inputs.size());
                   for (size_t i = 0; i < inputs.size(); ++i) {
                     if (i >= captures->outside) constants[i] = constant_of(inputs[i]);
                     if (!constants[i]) kept.push_back(inputs[i]);
                   }
                   if (kept.size() == inputs.size()) return std::nullopt;
                   std::vector<std::shared_ptr<const Graph>> subgraphs;
                   for (const auto& subgraph : node.subgraphs) {
                     Graph bound;
                     std::vector<Tensor> arguments;
                     for (size_t i = 0; i < subgraph->inputs.size(); ++i) {
                       const Tensor& constant = constants[i + captures->outside - captures->inside];
                       arguments.push_back(constant ? constant : subgraph->inputs[i]);
                       if (!constant) bound.inputs.push_back(subgraph->inputs[i]);
                     }
                     bound.outputs = inline_graph(*subgraph, arguments);
                     subgraphs.push_back(std::make_shared<const Graph>(std::move(bound)));
                   }
                   return make_node(*node.op, kept, node.attrs, std::move(subgraphs));
                 });
}

}  // namespace wafer
