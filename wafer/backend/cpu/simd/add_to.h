#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"

namespace wafer::cpu {

// sums += values, `count` elements: what each thread summed up is added so.
WAFER_SIMD(void, add_to, (float* sums, const float* values, int64_t count))

}  // namespace wafer::cpu
