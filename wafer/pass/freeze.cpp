#include "wafer/pass/freeze.h"

#include <unordered_map>
#include <unordered_set>

#include "wafer/op/composite.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/norm.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;
using Result = std::optional<Tensors>;

// Readers of a node's values; outputs of the graph count.
std::unordered_map<const Node*, int> count_readers(const Graph& graph) {
  std::unordered_map<const Node*, int> readers;
  for (const Tensor& output : graph.outputs) ++readers[&output.node()];
  for (const Node* node : topological_order(graph)) {
    for (const Tensor& input : node->inputs) ++readers[&input.node()];
  }
  return readers;
}

// The bias [channels] of a broadcast along the channels of a value, or an empty tensor.
Tensor channel_bias(const Tensor& wide) {
  if (!wide.node().is(op::broadcast_to)) return {};
  const Tensor& shaped = wide.node().inputs[0];
  if (!shaped.node().is(op::reshape) || shaped.rank() != wide.rank()) return {};
  const Tensor& bias = shaped.node().inputs[0];
  bool along = bias.rank() == 1 && shaped.size(1) == bias.size(0) &&
               shaped.elements() == bias.elements() && wide.size(1) == bias.size(0);
  return along ? bias : Tensor();
}

// What the device computes from weights alone: values that something else reads.
class Frozen {
 public:
  Frozen(const Graph& graph, size_t weights) {
    for (size_t i = 0; i < weights; ++i) fixed_.insert(&graph.inputs[i].node());
    auto order = topological_order(graph);
    for (const Node* node : order) {
      if (is_fixed(*node)) fixed_.insert(node);
    }
    for (const Node* node : order) {
      if (fixed_.count(node)) continue;
      for (const Tensor& input : node->inputs) pick(input);
    }
    for (const Tensor& output : graph.outputs) pick(output);
  }

  const Tensors& values() const { return values_; }

 private:
  bool is_fixed(const Node& node) const {
    if (node.inputs.empty() || node.outputs.size() != 1) return false;
    bool any = false;
    for (const Tensor& input : node.inputs) {
      bool fixed = fixed_.count(&input.node()) > 0;
      if (!fixed && !input.node().is(op::constant) && !input.node().is(op::broadcast_to))
        return false;
      if (!fixed && input.node().is(op::broadcast_to) &&
          !input.node().inputs[0].node().is(op::constant))
        return false;
      any = any || fixed;
    }
    return any;
  }

  // A view costs nothing where it is read, and a broadcast made real would cost much.
  void pick(const Tensor& value) {
    if (!fixed_.count(&value.node())) return;
    if (value.node().is(op::broadcast_to) || value.node().is(op::reshape))
      return pick(value.node().inputs[0]);
    for (const Tensor& seen : values_) {
      if (seen == value) return;
    }
    values_.push_back(value);
  }

  std::unordered_set<const Node*> fixed_;
  Tensors values_;
};
}  // namespace

Graph fold_batch_norms(const Graph& graph) {
  auto readers = count_readers(graph);
  return rewrite(graph, [&](const Node& node, const Tensors& in) -> Result {
    if (!node.is(op::batch_norm_inference)) return std::nullopt;
    const Node* before = &node.inputs[0].node();
    const Node* now = &in[0].node();
    Tensor bias;
    if (before->is(op::add) && now->is(op::add) && readers.at(before) == 1) {
      bias = channel_bias(now->inputs[1]);
      if (!bias) return std::nullopt;
      before = &before->inputs[0].node();
      now = &now->inputs[0].node();
    }
    if (!before->is(op::conv) || !now->is(op::conv) || readers.at(before) != 1) return std::nullopt;
    const Tensor &x = now->inputs[0], &weight = now->inputs[1];
    const Tensor &mean = in[1], &variance = in[2];
    if (weight.dtype() != in[3].dtype()) return std::nullopt;
    Tensor scale = in[3] * rsqrt(variance + node.attr<BatchNormAttrs>().epsilon);
    Tensor shift = in[4] + (bias ? bias - mean : neg(mean)) * scale;
    Tensor scaled = weight * append_ones(scale, weight.rank() - 1);
    Tensor y = make(op::conv, {x, scaled}, now->attrs);
    return {{y + along_channels(shift, y)}};
  });
}

Graph freeze(const Graph& graph, const std::vector<std::shared_ptr<Storage>>& weights,
             Device& device, Precision precision) {
  Graph whole = apply_precision(fold_batch_norms(graph), precision);
  Frozen frozen(whole, weights.size());
  Graph preparation;
  preparation.inputs.assign(whole.inputs.begin(),
                            whole.inputs.begin() + static_cast<std::ptrdiff_t>(weights.size()));
  std::unordered_map<const Node*, Tensor> constants;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Tensor& input = whole.inputs[i];
    constants[&input.node()] = Tensor::from_storage(input.type(), weights[i]);
  }
  for (const Tensor& value : frozen.values()) {
    if (!value.node().is(op::input)) preparation.outputs.push_back(value);
  }
  if (!preparation.outputs.empty()) {
    auto artifact = device.target().compile(preparation, {});
    auto made = execute(device, *artifact, weights);
    device.synchronize();
    for (size_t i = 0; i < made.size(); ++i) {
      const Tensor& value = preparation.outputs[i];
      constants[&value.node()] = Tensor::from_storage(value.type(), made[i]);
    }
  }
  Graph result = rewrite(whole, [&](const Node& node, const Tensors&) -> Result {
    auto found = constants.find(&node);
    if (found == constants.end()) return std::nullopt;
    return {{found->second}};
  });
  result.inputs.erase(result.inputs.begin(),
                      result.inputs.begin() + static_cast<std::ptrdiff_t>(weights.size()));
  result.alias.clear();
  return result;
}

}  // namespace wafer
