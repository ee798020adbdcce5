#pragma once
#include "wafer/ir/graph.h"

// Ops that only passes insert: they have no builder for users.
namespace wafer {

// The same value in another layout.
Tensor reorder(const Tensor& x, Layout layout);

// A group of element-wise ops, or a contraction and what follows it, as one node; its subgraph's
// inputs are `inputs`' values. Subgraph inputs may be of smaller shape where the subgraph
// broadcasts them.
std::vector<Tensor> fuse(std::shared_ptr<const Graph> group, const std::vector<Tensor>& inputs);
// Several groups of element-wise ops as one node, whose inputs and outputs are theirs one after the
// other. None reads what another makes.
std::vector<Tensor> fuse_together(std::vector<std::shared_ptr<const Graph>> groups,
                                  const std::vector<Tensor>& inputs);

// One of a fused node's groups, and which of the node's inputs and outputs are its first.
struct FusedGroup {
  const Graph* graph;
  size_t first_input, first_output;
};
std::vector<FusedGroup> groups_of(const Node& fused);

struct ReorderAttrs {
  int64_t layout = 0;
  static constexpr auto fields() { return std::make_tuple(Field{"layout", &ReorderAttrs::layout}); }
};

}  // namespace wafer
