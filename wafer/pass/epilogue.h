#pragma once
#include <cmath>
#include <functional>
#include <optional>

#include "wafer/ir/graph.h"

namespace wafer {

// Whether a target computes what follows a convolution or matrix product together with it.
using JoinsFollowers = std::function<bool(const Node& contraction)>;

// Joins those convolutions and matrix products with what follows them alone: a bias, a value of the
// result's type (a residual) and ReLU or ReLU6, in this order. Each becomes a `fused` node whose
// subgraph holds the contraction and its followers. Runs after layouts are chosen.
Graph fuse_epilogues(const Graph& graph, const JoinsFollowers& joins);

// What such a `fused` node holds. Its inputs are the contraction's two, then the bias (of f32 or of
// the result's dtype, as many elements as channels or columns), then the residual.
struct ContractionGroup {
  const Node* contraction;       // in the subgraph: conv or matmul, on inputs of the node's types
  int bias = -1, residual = -1;  // inputs of the node, or -1
  bool relu = false;
  double limit = HUGE_VAL;  // of ReLU, positive (6: ReLU6)
};
// Nothing for nodes of other kinds.
std::optional<ContractionGroup> contraction_group(const Node& node);

}  // namespace wafer
