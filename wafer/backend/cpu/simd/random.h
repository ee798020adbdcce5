#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"

namespace wafer::cpu {

// Elements [4 begin, 4 end) of the stream at (seed, step), as op/random.h defines them; `to` is
// where element 4 begin goes.
WAFER_SIMD(void, random_uniform_blocks,
           (uint64_t seed, uint32_t step, uint64_t stream, int64_t begin, int64_t end, float* to))
WAFER_SIMD(void, random_normal_blocks,
           (uint64_t seed, uint32_t step, uint64_t stream, int64_t begin, int64_t end, float* to))

}  // namespace wafer::cpu
