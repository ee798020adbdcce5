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

struct ReorderAttrs {
  int64_t layout = 0;
  static constexpr auto fields() { return std::make_tuple(Field{"layout", &ReorderAttrs::layout}); }
};

}  // namespace wafer
