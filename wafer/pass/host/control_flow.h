#pragma once
#include "wafer/runtime/kernel.h"

namespace wafer {

// The step maker of scan, while_loop and if_else on the host, or null for other ops: their
// subgraphs are compiled for the same target and run as nested programs.
MakeKernel control_flow_kernel(const OpDef& op);

}  // namespace wafer
