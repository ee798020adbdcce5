#pragma once
#include "wafer/runtime/kernel.h"

// The oracle: plain single-threaded kernels that compute in double, which every other backend is
// compared with.
namespace wafer::reference {

// The kernel of an op, or null.
MakeKernel find_kernel(const OpDef& op);

}  // namespace wafer::reference
