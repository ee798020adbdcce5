#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Moves ReLU's gradient before that of the max pool that alone reads the ReLU: where the pooled
// value is 0 nothing passes. So the mask is of pooled values, and those before the pool need not be
// kept. Also sums a max pool's gradient over the positions where it comes from, since each of its
// elements goes to one position.
Graph mask_pooled_gradients(const Graph& graph);

}  // namespace wafer
