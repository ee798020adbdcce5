#pragma once
#include "wafer/ir/graph.h"

namespace wafer {

// Runs a graph that treats each example of a batch by itself as a scan over parts of the batch,
// where that keeps what lies between its steps in cache: where convolutions and products do few
// operations for each value they move (as depthwise nets do), and the batch's values between two
// steps are more than `cache_bytes`. A part is as many examples as fit, a divisor of the batch.
// Other graphs come back as they are: those that mix examples (training), whose weights are not
// constants, with ops that this pass does not know, one step, or a batch without a fitting divisor.
Graph run_batch_in_parts(const Graph& graph, size_t cache_bytes);

}  // namespace wafer
