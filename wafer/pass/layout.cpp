#include "wafer/pass/layout.h"

#include <algorithm>
#include <unordered_map>

#include "wafer/op/layout.h"
#include "wafer/op/op.h"

namespace wafer {

namespace {
bool is_spatial(const Tensor& x) {
  return x.rank() >= 3 && x.rank() <= 5;
}

// Which inputs of an op are activations [batch, channels, spatial...] that it wants channels-last;
// empty for ops that do not care.
std::vector<size_t> channels_last_inputs(const Node& node) {
  if (node.is(op::conv)) return {0};
  if (node.is(op::conv_input_gradient)) return {0};
  if (node.is(op::conv_weight_gradient)) return {0, 1};
  if (node.is(op::max_pool) || node.is(op::avg_pool) || node.is(op::avg_pool_gradient)) return {0};
  if (node.is(op::max_pool_gradient)) return {0, 1};
  return {};
}

class Assigner {
 public:
  explicit Assigner(const RunsChannelsLast& runs_channels_last)
      : runs_channels_last_(runs_channels_last) {}

  std::optional<std::vector<Tensor>> operator()(const Node& node,
                                                const std::vector<Tensor>& inputs) {
    if (inputs.empty()) return std::nullopt;
    std::vector<size_t> wanted = channels_last_inputs(node);
    if (!wanted.empty() && runs_channels_last_(node)) {
      std::vector<Tensor> placed;
      for (size_t i = 0; i < inputs.size(); ++i) {
        bool last = std::find(wanted.begin(), wanted.end(), i) != wanted.end();
        placed.push_back(in_layout(inputs[i], last ? Layout::channels_last : Layout::row_major));
      }
      return clone(node, placed,
                   node.is(op::conv_weight_gradient) ? Layout::row_major : Layout::channels_last);
    }
    bool follows =
        node.op->elementwise || node.is(op::batch_norm) || node.is(op::batch_norm_gradient);
    if (follows && is_spatial(inputs[0])) {
      // One operand that has to be channels-last decides for all; a broadcast is made in either
      // layout.
      bool last = std::any_of(inputs.begin(), inputs.end(), [](const Tensor& x) {
        return x.type().layout == Layout::channels_last;
      });
      Layout layout = last ? Layout::channels_last : Layout::row_major;
      std::vector<Tensor> placed;
      for (const Tensor& input : inputs) placed.push_back(in_layout(input, layout));
      return clone(node, placed, layout);
    }
    bool any_layout = node.is(op::reduce_sum) || node.is(op::reduce_max) ||
                      node.is(op::reduce_min) || node.is(op::reduce_prod) || node.is(op::reorder);
    std::vector<Tensor> placed;
    for (const Tensor& input : inputs)
      placed.push_back(any_layout ? input : in_layout(input, Layout::row_major));
    return clone(node, placed, Layout::row_major);
  }

  Tensor in_layout(const Tensor& x, Layout layout) {
    if (x.type().layout == layout || !is_spatial(x)) return x;
    if (x.node().is(op::reorder) && x.node().inputs[0].type().layout == layout)
      return x.node().inputs[0];
    auto& made = made_[&x.node()];
    for (const auto& [from, to] : made) {
      if (from == x) return to;
    }
    Tensor result;
    if (x.node().is(op::broadcast_to)) {
      Type type = x.type();
      type.layout = layout;
      result = clone_node(x.node(), x.node().inputs, {type})[0];
    } else {
      result = reorder(x, layout);
    }
    made.emplace_back(x, result);
    return result;
  }

 private:
  static std::vector<Tensor> clone(const Node& node, std::vector<Tensor> inputs, Layout layout) {
    std::vector<Type> types = node.outputs;
    for (Type& type : types) {
      type.layout = type.shape.rank() >= 3 && type.shape.rank() <= 5 ? layout : Layout::row_major;
    }
    return clone_node(node, std::move(inputs), std::move(types));
  }
  const RunsChannelsLast& runs_channels_last_;
  // Per value, its one copy in the other layout.
  std::unordered_map<const Node*, std::vector<std::pair<Tensor, Tensor>>> made_;
};
}  // namespace

Graph assign_layouts(const Graph& graph, const RunsChannelsLast& runs_channels_last) {
  Assigner assigner(runs_channels_last);
  Graph result = rewrite(graph, [&](const Node& node, const std::vector<Tensor>& inputs) {
    return assigner(node, inputs);
  });
  for (Tensor& output : result.outputs) output = assigner.in_layout(output, Layout::row_major);
  return result;
}

}  // namespace wafer
