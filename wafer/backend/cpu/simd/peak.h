#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"

namespace wafer::cpu {

// Runs `rounds` rounds of independent multiply-adds in registers and returns the operations done,
// or 0 where the instruction set has none of the kind. bf16 needs has_avx512_bf16(), tiles
// has_amx_bf16(); a round of tiles takes about ten times as long as one of the others.
WAFER_SIMD(double, peak_f32, (int64_t rounds))
WAFER_SIMD(double, peak_bf16, (int64_t rounds))
WAFER_SIMD(double, peak_bf16_tiles, (int64_t rounds))

// a = b + s c over `count` floats.
WAFER_SIMD(void, peak_triad, (float* a, const float* b, const float* c, int64_t count))

}  // namespace wafer::cpu
