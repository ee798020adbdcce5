#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Which groups of element-wise ops a target runs as one.
struct JoinLimits {
  size_t values = 0;     // inputs and outputs of all together; 0: none are joined
  int64_t elements = 0;  // of a group's results: of more, a start of its own costs nothing
};

// Joins groups of element-wise ops that make nothing but outputs of the graph, as the updates of
// weights and their moments are: none waits for another. For targets on which each step has to be
// started. Runs after groups are fused.
Graph join_updates(const Graph& graph, const JoinLimits& limits);

}  // namespace wafer
