#pragma once
#include "wafer/runtime/kernel.h"

namespace wafer {

// The step maker of scan, while_loop and if_else on the host, or null for other ops: their
// subgraphs are compiled for the same target and run as nested programs. A target's own kernel goes
// before it.
MakeKernel control_flow_kernel(const OpDef& op);

// A scan as `parts` scans at a time, one a thread, each over its part of dimension 0 of what `body`
// takes and gives a smaller piece of than the scan's own subgraph does. 1: the subgraph itself.
Step make_scan(const Node& node, KernelContext& context, const Graph& body, int parts);

}  // namespace wafer
