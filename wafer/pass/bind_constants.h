#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Constants that a scan, while_loop or if_else captures become constants of its subgraphs, also
// where they are reshaped first: a kernel inside a loop then knows its weights when it is made, and
// lays them out once instead of at each step.
Graph bind_constants(const Graph& graph);

}  // namespace wafer
