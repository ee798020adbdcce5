#pragma once
#include "wafer/kernel/device/session.h"
#include "wafer/pass/epilogue.h"

namespace wafer::kernel {

// A matrix product with what follows it: by the vendor's library as one, or else the product and
// then an element-wise kernel over its result.
Step make_product_group(const Node& node, const ContractionGroup& group, KernelContext& context);

}  // namespace wafer::kernel
