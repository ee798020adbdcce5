#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"

namespace wafer::cpu {

// One spatial axis of a pooling, with what depends on it alone worked out.
struct PoolAxis {
  int64_t in = 1, out = 1, kernel = 1, stride = 1, low = 0, dilation = 1;
  // Per output position: the kernel positions [k_begin, k_end) that lie inside the input.
  const int32_t* k_begin = nullptr;
  const int32_t* k_end = nullptr;
  // Per input position i: the windows that hold it are entries [cover[i], cover[i + 1]) of
  // cover_out (their output position) and cover_k (the kernel position that i has there).
  const int32_t* cover = nullptr;
  const int32_t* cover_out = nullptr;
  const int32_t* cover_k = nullptr;
};

// A pooling of [batch, channels, 3 axes]; fewer spatial dimensions are padded with 1 in front.
struct PoolGeometry {
  PoolAxis axis[3];
  int64_t batch = 0, channels = 0;
  bool count_padding = true;
};

// Channels-last f32 or bf16 (bf16 = true), over rows [begin, end): a row is all positions of the
// last axis, rows counted over batch and the first two axes of the result. A place in the window
// is a byte; index may be null.
WAFER_SIMD(void, max_pool_rows,
           (const PoolGeometry& g, bool bf16, const void* x, void* y, uint8_t* index, int64_t begin,
            int64_t end))
WAFER_SIMD(void, max_pool_gradient_rows,
           (const PoolGeometry& g, bool bf16, const void* gradient, const uint8_t* index, void* dx,
            int64_t begin, int64_t end))
WAFER_SIMD(void, avg_pool_rows,
           (const PoolGeometry& g, bool bf16, const void* x, void* y, int64_t begin, int64_t end))
WAFER_SIMD(void, avg_pool_gradient_rows,
           (const PoolGeometry& g, bool bf16, const void* gradient, void* dx, int64_t begin,
            int64_t end))

}  // namespace wafer::cpu
