#pragma once
#include "wafer/backend/cpu/simd/finish.h"
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
// w_step apart. More than two vectors of w lie in panels of two, w_panel apart.
template <int rows, int vectors>
[[gnu::always_inline]] inline void multiply(int64_t depth, const float* x, int64_t x_row,
                                            int64_t x_step, const float* w, int64_t w_step,
                                            float* c, int64_t c_row, bool accumulate,
                                            int64_t w_panel = 0) {
  VFloat sum[rows][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) sum[i][j] = VFloat{};
  }
  for (int64_t p = 0; p < depth; ++p) {
    VFloat line[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) {
      line[j] = load<VFloat>(w + j / 2 * w_panel + j % 2 * lanes);
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      VFloat factor = splat(x[i * x_row]);
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) sum[i][j] += factor * line[j];
    }
    x += x_step;
    w += w_step;
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) {
      float* to = c + i * c_row + j * lanes;
      store(to, accumulate ? load<VFloat>(to) + sum[i][j] : sum[i][j]);
    }
  }
}

// multiply() for any number of rows: c is [m, vectors * lanes].
template <int vectors>
void multiply_rows(int64_t m, int64_t depth, const float* x, int64_t x_row, int64_t x_step,
                   const float* w, int64_t w_step, float* c, int64_t c_row, bool accumulate) {
  auto take = [&]<int rows>() __attribute__((always_inline)) {
    for (; m >= rows; m -= rows, x += rows * x_row, c += rows * c_row) {
      multiply<rows, vectors>(depth, x, x_row, x_step, w, w_step, c, c_row, accumulate);
    }
  };
  take.template operator()<tile_rows>();
  if constexpr (tile_rows > 8) take.template operator()<8>();
  take.template operator()<4>();
  take.template operator()<2>();
  take.template operator()<1>();
}

// The finished value of a column, of an element at `at` of the result.
[[gnu::always_inline]] inline VFloat finish(VFloat value, const Finish& f, int64_t column,
                                            int64_t at) {
  if (f.bias != nullptr) value += load<VFloat>(f.bias + column);
  if (f.residual != nullptr) value += load<VFloat>(f.residual + at);
  if (f.relu) {
    value = value < VFloat{} ? VFloat{} : value;  // NaN stays
    value = value > splat(f.limit) ? splat(f.limit) : value;
  }
  return value;
}
[[gnu::always_inline]] inline float finish(float value, const Finish& f, int64_t column,
                                           int64_t at) {
  if (f.bias != nullptr) value += f.bias[column];
  if (f.residual != nullptr) value += f.residual[at];
  if (f.relu && value < 0) value = 0;
  if (f.relu && value > f.limit) value = f.limit;
  return value;
}

}  // namespace
}  // namespace wafer::cpu::WAFER_ISA
