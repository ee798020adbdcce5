#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Chooses the physical layout of every value for a target whose convolutions and pools run
// channels-last, and puts reorders where the choice changes. Inputs and outputs of the graph stay
// row-major.
Graph assign_layouts(const Graph& graph);

}  // namespace wafer
