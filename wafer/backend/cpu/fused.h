#pragma once
#include "wafer/runtime/kernel.h"

namespace wafer::cpu {

// The step of one element-wise node, or of a `fused` one.
Step elementwise_step(const Node& node, KernelContext& context);

}  // namespace wafer::cpu
