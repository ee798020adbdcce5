#include "wafer/pass/pool.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

class Moving {
 public:
  explicit Moving(const Graph& graph) {
    for (const Tensor& output : graph.outputs) kept_.insert(&output.node());
    auto order = topological_order(graph);
    for (const Node* node : order) {
      for (const Tensor& input : node->inputs) readers_[&input.node()].push_back(node);
    }
    for (const Node* node : order) {
      if (node->is(op::relu)) consider(*node);
    }
  }

  std::optional<Tensors> operator()(const Node& node, const Tensors& in) {
    if (masks_.count(&node) && in[1].node().is(op::max_pool_gradient)) {
      const Node& gradient = in[1].node();
      const Tensor &g = gradient.inputs[0], &place = gradient.inputs[1];
      Tensor pooled(place.node_pointer(), 0);
      Tensor passed = where(greater(pooled, 0.0), g, scalar_like(g, 0));
      return {{make(op::max_pool_gradient, {passed, gradient.inputs[1]}, gradient.attrs)}};
    }
    if (node.is(op::reduce_sum) && in[0].node().is(op::max_pool_gradient)) {
      const auto& axes = node.attr<ReduceAttrs>().axes;
      for (int64_t axis = 2; axis < in[0].rank(); ++axis) {
        if (std::find(axes.begin(), axes.end(), axis) == axes.end()) return std::nullopt;
      }
      return {{make(op::reduce_sum, {in[0].node().inputs[0]}, node.attrs)}};
    }
    return std::nullopt;
  }

 private:
  // Remembers the ReLU's masks if nothing but its pool and they read it.
  void consider(const Node& node) {
    if (kept_.count(&node) || !is_floating(node.outputs[0].dtype)) return;
    const Node* pool = nullptr;
    std::vector<const Node*> comparisons;
    for (const Node* reader : readers_[&node]) {
      if (reader->is(op::max_pool) && pool == nullptr)
        pool = reader;
      else if (reader->is(op::less) && is_constant_value(reader->inputs[0], 0) &&
               !kept_.count(reader))
        comparisons.push_back(reader);
      else
        return;
    }
    if (pool == nullptr) return;
    std::vector<const Node*> masks;
    for (const Node* comparison : comparisons) {
      for (const Node* reader : readers_[comparison]) {
        if (!(reader->is(op::where) && &reader->inputs[0].node() == comparison &&
              is_constant_value(reader->inputs[2], 0)))
          return;
        const Node& gradient = reader->inputs[1].node();
        if (!(gradient.is(op::max_pool_gradient) && &gradient.inputs[1].node() == pool)) return;
        masks.push_back(reader);
      }
    }
    masks_.insert(masks.begin(), masks.end());
  }

  std::unordered_set<const Node*> kept_;
  std::unordered_map<const Node*, std::vector<const Node*>> readers_;
  std::unordered_set<const Node*> masks_;  // that can move
};
}  // namespace

Graph mask_pooled_gradients(const Graph& graph) {
  Moving moving(graph);
  return rewrite(graph, [&](const Node& node, const Tensors& in) { return moving(node, in); });
}

}  // namespace wafer
