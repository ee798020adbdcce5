#pragma once
#include <map>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"

namespace wafer {

// The graph with symbolic dimensions replaced by the integers that `bindings` gives them.
Graph specialise(const Graph& graph, const std::map<std::string, int64_t>& bindings);

// Bindings that make the inputs' symbolic types fit concrete ones; UserError naming the input when
// none do.
std::map<std::string, int64_t> match_inputs(const Graph& graph, const std::vector<Type>& types);

}  // namespace wafer
