#include "wafer/pass/gradient.h"

#include <unordered_map>
#include <unordered_set>

#include "wafer/ir/graph.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/gradient_of.h"
#include "wafer/op/op.h"

namespace wafer {

namespace {

// Gradients collected so far, per node and output.
class Adjoints {
 public:
  void add(const Tensor& value, const Tensor& gradient) {
    if (!gradient) return;
    WAFER_CHECK(gradient.shape() == value.shape() && gradient.dtype() == value.dtype(),
                "a gradient of ", gradient.type(), " for ", value.node().op->name, " of ",
                value.type());
    Tensor& sum = slot(value);
    sum = sum ? sum + gradient : gradient;
  }
  Tensor get(const Tensor& value) const {
    auto found = by_node_.find(&value.node());
    return found == by_node_.end() ? Tensor() : found->second[static_cast<size_t>(value.index())];
  }
  void clear(const Tensor& value) { slot(value) = Tensor(); }
  const std::vector<Tensor>* of(const Node* node) const {
    auto found = by_node_.find(node);
    return found == by_node_.end() ? nullptr : &found->second;
  }

 private:
  Tensor& slot(const Tensor& value) {
    auto& outputs = by_node_[&value.node()];
    outputs.resize(value.node().outputs.size());
    return outputs[static_cast<size_t>(value.index())];
  }
  std::unordered_map<const Node*, std::vector<Tensor>> by_node_;
};

std::vector<Tensor> node_gradients(const Node& node, const std::vector<Tensor>& outputs,
                                   const std::vector<Tensor>& output_gradients,
                                   const std::vector<bool>& needed) {
  if (node.op->vjp) {
    return node.op->vjp({node, node.inputs, outputs, output_gradients, needed});
  }
  if (!node.op->decompose) {
    throw UserError(node.op->name, "has no gradient",
                    {.hint = node.path.empty() ? "" : "it is used in " + node.path});
  }
  // Through the decomposition. An input that is given twice gets its whole gradient once.
  std::vector<Tensor> parts = node.op->decompose(node, node.inputs);
  std::vector<Tensor> wrt;
  std::vector<size_t> position;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    bool repeated = false;
    for (const Tensor& earlier : wrt) repeated = repeated || earlier == node.inputs[i];
    if (repeated || !needed[i]) continue;
    wrt.push_back(node.inputs[i]);
    position.push_back(i);
  }
  std::vector<Tensor> result(node.inputs.size());
  std::vector<Tensor> by_wrt = gradient(parts, output_gradients, wrt, Leaves::cut);
  for (size_t i = 0; i < wrt.size(); ++i) result[position[i]] = by_wrt[i];
  return result;
}

}  // namespace

std::vector<Tensor> gradient(const std::vector<Tensor>& outputs,
                             const std::vector<Tensor>& output_gradients,
                             const std::vector<Tensor>& wrt, Leaves leaves) {
  WAFER_CHECK(outputs.size() == output_gradients.size(), "one gradient for each output is needed");
  std::vector<const Node*> order = topological_order(outputs);

  // Nodes through which an output depends on a value of wrt.
  auto is_wrt = [&](const Tensor& value) {
    for (const Tensor& candidate : wrt) {
      if (candidate == value) return true;
    }
    return false;
  };
  std::unordered_set<const Node*> wrt_nodes, active;
  for (const Tensor& value : wrt) wrt_nodes.insert(&value.node());
  auto depends = [&](const Tensor& value) {
    return is_floating(value.dtype()) &&
           (active.count(&value.node()) || (wrt_nodes.count(&value.node()) && is_wrt(value)));
  };
  std::unordered_map<const Node*, Tensor> handle;
  for (const Tensor& output : outputs) handle.emplace(&output.node(), output);
  for (const Node* node : order) {
    for (const Tensor& input : node->inputs) {
      handle.emplace(&input.node(), input);
      if (depends(input)) active.insert(node);
    }
  }

  Adjoints adjoints;
  for (size_t i = 0; i < outputs.size(); ++i) adjoints.add(outputs[i], output_gradients[i]);
  std::vector<Tensor> result(wrt.size());
  auto collect = [&](const Node* node) {
    if (!wrt_nodes.count(node)) return;
    for (size_t i = 0; i < wrt.size(); ++i) {
      if (&wrt[i].node() == node) result[i] = adjoints.get(wrt[i]);
    }
    if (leaves == Leaves::total) return;
    for (const Tensor& value : wrt) {
      if (&value.node() == node) adjoints.clear(value);
    }
  };
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node* node = *it;
    collect(node);
    const std::vector<Tensor>* found = adjoints.of(node);
    if (!found || !active.count(node)) continue;
    std::vector<Tensor> gradients = *found;  // adding to adjoints may move the original
    bool any = false;
    for (const Tensor& g : gradients) any = any || g;
    if (!any) continue;
    PathScope scope = PathScope::whole(node->path);
    std::vector<Tensor> node_outputs;
    std::vector<bool> needed;
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      node_outputs.emplace_back(handle.at(node).node_pointer(), static_cast<int>(i));
    }
    for (const Tensor& input : node->inputs) needed.push_back(depends(input));
    std::vector<Tensor> by_input = node_gradients(*node, node_outputs, gradients, needed);
    WAFER_CHECK(by_input.size() == node->inputs.size(), node->op->name, ": the vjp gives ",
                by_input.size(), " gradients for ", node->inputs.size(), " inputs");
    for (size_t i = 0; i < by_input.size(); ++i) {
      if (needed[i]) adjoints.add(node->inputs[i], by_input[i]);
    }
  }
  return result;
}

std::vector<Tensor> gradient_of(const std::vector<Tensor>& outputs,
                                const std::vector<Tensor>& output_gradients,
                                const std::vector<Tensor>& wrt) {
  return gradient(outputs, output_gradients, wrt, Leaves::cut);
}

}  // namespace wafer
