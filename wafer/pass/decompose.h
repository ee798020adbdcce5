#pragma once
#include "wafer/ir/graph.h"
#include "wafer/runtime/artifact.h"

namespace wafer {

// Replaces each composite that the target does not support by its decomposition, down to what it
// does. UserError naming node, target and reason for a primitive that it does not support.
Graph decompose(const Graph& graph, const Target& target);

}  // namespace wafer
