#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Common subexpression elimination: nodes of equal op, attributes, subgraphs and inputs become one.
// Random ops are left alone: each is a stream of its own.
Graph eliminate_common_subexpressions(const Graph& graph);

}  // namespace wafer
