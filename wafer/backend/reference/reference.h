#pragma once
#include "wafer/runtime/kernel.h"
#include "wafer/runtime/registry.h"

// The oracle that every other backend is compared with: plain single-threaded kernels that compute
// in double, on the same host program as other host backends but with no kernel in common.
namespace wafer::reference {

// The kernel of an op, or null.
MakeKernel find_kernel(const OpDef& op);

// One device, "reference", which is always there.
Backend find_backend();

}  // namespace wafer::reference
