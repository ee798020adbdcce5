#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Computes, once and by the reference device, values of at most 1 MiB that depend on constants and
// iota alone: masks, positions, tables. What is made of one-element constants only is left alone:
// it costs nothing inside a fused group, where a tensor in its place would have to be read. A
// broadcast is never made real.
Graph fold_constants(const Graph& graph);

}  // namespace wafer
