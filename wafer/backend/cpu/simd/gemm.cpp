#include "wafer/backend/cpu/simd/gemm.h"

#include "wafer/backend/cpu/simd/vector.h"

namespace wafer::cpu::WAFER_ISA {

namespace {
// The micro-kernel's tile: as many accumulators as leave registers for two of b and one of a.
#if defined(__AVX512F__)
constexpr int64_t tile_rows = 12;
#else
constexpr int64_t tile_rows = 6;
#endif
constexpr int64_t tile_columns = 2 * lanes;
// Blocks: a packed block of a stays in the second-level cache, a panel of b in the first.
constexpr int64_t block_rows = 192, block_columns = 512, block_depth = 256;
static_assert(block_rows % tile_rows == 0 && block_columns % tile_columns == 0);
static_assert(block_depth * (block_rows + block_columns) <= gemm_workspace);

int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

// Panels of `width` lines: element (line i, depth p) of a panel goes to p * width + i; missing
// lines of the last panel are zero.
template <int64_t width>
void pack(int64_t lines, int64_t depth, const float* from, int64_t line_stride,
          int64_t depth_stride, float* to) {
  for (int64_t first = 0; first < lines; first += width, to += width * depth) {
    int64_t count = least(width, lines - first);
    const float* panel = from + first * line_stride;
    if (count < width) {
      for (int64_t i = 0; i < width * depth; ++i) to[i] = 0;
    }
    if (line_stride == 1) {
      for (int64_t p = 0; p < depth; ++p) {
        const float* source = panel + p * depth_stride;
        float* target = to + p * width;
        if (count == width) {
          for (int64_t i = 0; i < width; ++i) target[i] = source[i];
        } else {
          for (int64_t i = 0; i < count; ++i) target[i] = source[i];
        }
      }
    } else {
      // In steps of depth, so that the part of the panel being written stays in the nearest cache.
      constexpr int64_t step = 16;
      for (int64_t p0 = 0; p0 < depth; p0 += step) {
        int64_t p1 = least(depth, p0 + step);
        for (int64_t i = 0; i < count; ++i) {
          const float* source = panel + i * line_stride;
          for (int64_t p = p0; p < p1; ++p) to[p * width + i] = source[p * depth_stride];
        }
      }
    }
  }
}

// c [tile_rows, tile_columns] = (accumulate ? c : 0) + packed a times packed b.
void multiply_tile(int64_t depth, const float* a, const float* b, float* c, int64_t c_row,
                   bool accumulate) {
  VFloat sum[tile_rows][2];
#pragma GCC unroll 12
  for (int64_t i = 0; i < tile_rows; ++i) sum[i][0] = sum[i][1] = VFloat{};
  for (int64_t p = 0; p < depth; ++p) {
    VFloat b0 = load<VFloat>(b), b1 = load<VFloat>(b + lanes);
#pragma GCC unroll 12
    for (int64_t i = 0; i < tile_rows; ++i) {
      VFloat factor = splat(a[i]);
      sum[i][0] += factor * b0;
      sum[i][1] += factor * b1;
    }
    a += tile_rows;
    b += tile_columns;
  }
  if (accumulate) {
#pragma GCC unroll 12
    for (int64_t i = 0; i < tile_rows; ++i) {
      sum[i][0] += load<VFloat>(c + i * c_row);
      sum[i][1] += load<VFloat>(c + i * c_row + lanes);
    }
  }
#pragma GCC unroll 12
  for (int64_t i = 0; i < tile_rows; ++i) {
    store(c + i * c_row, sum[i][0]);
    store(c + i * c_row + lanes, sum[i][1]);
  }
}

// A tile that reaches beyond c: by way of a whole one.
void multiply_partial(int64_t depth, const float* a, const float* b, float* c, int64_t c_row,
                      bool accumulate, int64_t rows, int64_t columns) {
  alignas(64) float tile[tile_rows * tile_columns];
  multiply_tile(depth, a, b, tile, tile_columns, false);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      float value = tile[i * tile_columns + j];
      c[i * c_row + j] = accumulate ? c[i * c_row + j] + value : value;
    }
  }
}
}  // namespace

void gemm_block(const GemmArgs& g, float* workspace) {
  float *packed_a = workspace, *packed_b = workspace + block_depth * block_rows;
  for (int64_t n0 = 0; n0 < g.n; n0 += block_columns) {
    int64_t columns = least(block_columns, g.n - n0);
    for (int64_t k0 = 0; k0 < g.k; k0 += block_depth) {
      int64_t depth = least(block_depth, g.k - k0);
      bool accumulate = g.accumulate || k0 > 0;
      pack<tile_columns>(columns, depth, g.b + k0 * g.b_row + n0 * g.b_column, g.b_column, g.b_row,
                         packed_b);
      for (int64_t m0 = 0; m0 < g.m; m0 += block_rows) {
        int64_t rows = least(block_rows, g.m - m0);
        pack<tile_rows>(rows, depth, g.a + m0 * g.a_row + k0 * g.a_column, g.a_row, g.a_column,
                        packed_a);
        for (int64_t j = 0; j < columns; j += tile_columns) {
          for (int64_t i = 0; i < rows; i += tile_rows) {
            const float *a = packed_a + i * depth, *b = packed_b + j * depth;
            float* c = g.c + (m0 + i) * g.c_row + n0 + j;
            if (i + tile_rows <= rows && j + tile_columns <= columns) {
              multiply_tile(depth, a, b, c, g.c_row, accumulate);
            } else {
              multiply_partial(depth, a, b, c, g.c_row, accumulate, least(tile_rows, rows - i),
                               least(tile_columns, columns - j));
            }
          }
        }
      }
    }
  }
}

}  // namespace wafer::cpu::WAFER_ISA
