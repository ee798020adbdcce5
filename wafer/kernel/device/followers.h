#pragma once
#include "wafer/kernel/device/session.h"
#include "wafer/pass/epilogue.h"

namespace wafer::kernel {

// A matrix product or a convolution with what follows it: by the vendor's library as one, or else
// the contraction and then an element-wise kernel over its result.
Step make_with_followers(const Node& node, const ContractionGroup& group, KernelContext& context);

}  // namespace wafer::kernel
