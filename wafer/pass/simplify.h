#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Algebra that never changes a result: x * 1, x + 0 (for x - 0 too), reshapes and transposes and
// broadcasts of themselves, casts there and back that lose nothing, a transpose of a matrix
// product's operand.
Graph simplify(const Graph& graph);

}  // namespace wafer
