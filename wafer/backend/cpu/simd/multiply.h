#pragma once
#include "wafer/backend/cpu/simd/vector.h"

// The innermost loops of matrix products: a tile of the result in registers.
namespace wafer::cpu::WAFER_ISA {
namespace {

// As many accumulators as leave registers for two of w and one of x.
#if defined(__AVX512F__)
constexpr int tile_rows = 12;
#else
constexpr int tile_rows = 6;
#endif
constexpr int tile_columns = 2 * lanes;

// c [rows, vectors * lanes] = (accumulate ? c : 0) + x w over `depth`, whose steps are x_step and
// w_step apart.
template <int rows, int vectors>
[[gnu::always_inline]] inline void multiply(int64_t depth, const float* x, int64_t x_row,
                                            int64_t x_step, const float* w, int64_t w_step,
                                            float* c, int64_t c_row, bool accumulate) {
  VFloat sum[rows][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) sum[i][j] = VFloat{};
  }
  for (int64_t p = 0; p < depth; ++p) {
    VFloat line[vectors];
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) line[j] = load<VFloat>(w + j * lanes);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      VFloat factor = splat(x[i * x_row]);
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) sum[i][j] += factor * line[j];
    }
    x += x_step;
    w += w_step;
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) {
      float* to = c + i * c_row + j * lanes;
      store(to, accumulate ? load<VFloat>(to) + sum[i][j] : sum[i][j]);
    }
  }
}

}  // namespace
}  // namespace wafer::cpu::WAFER_ISA
