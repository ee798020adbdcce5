#include "wafer/pass/cse.h"

#include <algorithm>
#include <unordered_map>

#include "wafer/op/op.h"

namespace wafer {

namespace {
size_t combine(size_t seed, size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15u + (seed << 6) + (seed >> 2));
}

size_t key_of(const Node& node, const std::vector<Tensor>& inputs) {
  size_t key = combine(std::hash<const void*>{}(node.op), node.attrs.hash());
  for (const Tensor& input : inputs) {
    key = combine(key, std::hash<const void*>{}(&input.node()));
    key = combine(key, static_cast<size_t>(input.index()));
  }
  if (auto bytes = small_constant(node)) {
    for (std::byte b : *bytes) key = combine(key, static_cast<size_t>(b));
  }
  return key;
}

bool same(const Node& node, const std::vector<Tensor>& inputs, const Node& seen) {
  if (node.op != seen.op || inputs != seen.inputs || node.outputs != seen.outputs ||
      !(node.attrs == seen.attrs) || node.subgraphs.size() != seen.subgraphs.size()) {
    return false;
  }
  for (size_t i = 0; i < node.subgraphs.size(); ++i) {
    if (node.subgraphs[i] != seen.subgraphs[i] &&
        !structurally_equal(*node.subgraphs[i], *seen.subgraphs[i])) {
      return false;
    }
  }
  if (!node.is(op::constant)) return true;
  if (node.values == seen.values) return true;
  auto a = small_constant(node), b = small_constant(seen);
  return a && b && std::equal(a->begin(), a->end(), b->begin(), b->end());
}
}  // namespace

Graph eliminate_common_subexpressions(const Graph& graph) {
  // By key, the outputs that stand for all equal nodes.
  std::unordered_multimap<size_t, std::vector<Tensor>> seen;
  return rewrite(
      graph,
      [&](const Node& node,
          const std::vector<Tensor>& inputs) -> std::optional<std::vector<Tensor>> {
        if (node.is(op::input) || node.is(op::random_uniform) || node.is(op::random_normal))
          return std::nullopt;
        size_t key = key_of(node, inputs);
        auto [begin, end] = seen.equal_range(key);
        for (auto it = begin; it != end; ++it) {
          if (same(node, inputs, it->second[0].node())) return it->second;
        }
        std::vector<Tensor> outputs = clone_node(node, inputs, node.outputs);
        seen.emplace(key, outputs);
        return outputs;
      });
}

}  // namespace wafer
