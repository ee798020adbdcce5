#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Joins element-wise ops of one shape and layout into `fused` nodes, so that values between them
// never reach memory. Broadcasts, slices of sources that are not much larger, reshapes by
// dimensions of 1 and one-element constants that feed a group become part of it; what is read
// outside of a group becomes one of its outputs. Nothing is computed twice, and no cycle arises.
// Runs after layouts are chosen.
Graph fuse_elementwise(const Graph& graph);

}  // namespace wafer
