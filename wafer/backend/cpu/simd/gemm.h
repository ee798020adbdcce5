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
  // What is done to the finished c, in this order; see Epilogue.
  const float* bias = nullptr;      // [n]
  const float* residual = nullptr;  // as c
  bool relu = false;
  float limit = 0;  // of ReLU

  bool finishes() const { return bias != nullptr || residual != nullptr || relu; }
};

// Floats of workspace that a call of gemm_block needs, 64-byte aligned.
constexpr int64_t gemm_workspace = 256 * (96 + 512 + 1);

// Blocked by the scheme of Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication" (2008): panels of b are packed so that the micro-kernel reads them in order, and
// those of a where it is given by columns.
WAFER_SIMD(void, gemm_block, (const GemmArgs& args, float* workspace))

}  // namespace wafer::cpu
