#pragma once
#include <functional>

#include "wafer/ir/graph.h"

namespace wafer {

// Whether a target runs a convolution or a pool, or a gradient of one, channels-last.
using RunsChannelsLast = std::function<bool(const Node&)>;

// Chooses the physical layout of every value for such a target, and puts reorders where the choice
// changes. Inputs and outputs of the graph stay row-major.
Graph assign_layouts(const Graph& graph, const RunsChannelsLast& runs_channels_last);

}  // namespace wafer
