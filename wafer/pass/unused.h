#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Drops the stacked outputs of scans that nothing reads (those saved for a gradient that was not
// taken). Nodes that nothing reads need no pass: a graph is reached from its outputs.
Graph drop_unused_outputs(const Graph& graph);

}  // namespace wafer
