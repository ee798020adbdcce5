#pragma once
#include <cstddef>
#include <cstdint>

#include "wafer/backend/cpu/isa.h"

namespace wafer::cpu {

// One thread's product c = a b (or c += a b): a [m, k] and b [k, n] with any strides, c row-major
// with `c_row` elements from row to row.
struct GemmArgs {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  int64_t a_row = 0, a_column = 0;
  const float* b = nullptr;
  int64_t b_row = 0, b_column = 0;
  float* c = nullptr;
  int64_t c_row = 0;
  bool accumulate = false;
};

// Floats of workspace that a call of gemm_block needs, 64-byte aligned.
constexpr int64_t gemm_workspace = 256 * (192 + 512);

// Blocked by the scheme of Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication" (2008): panels of a and b are packed so that the micro-kernel reads both in
// order.
WAFER_SIMD(void, gemm_block, (const GemmArgs& args, float* workspace))

}  // namespace wafer::cpu
