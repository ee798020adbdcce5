#include "wafer/backend/cpu/simd/gemm.h"

#include "wafer/backend/cpu/simd/multiply.h"
#include "wafer/backend/cpu/simd/transpose_block.h"

namespace wafer::cpu::WAFER_ISA {

namespace {
// Blocks: rows of a stay in the second-level cache, a panel of b in the first. Few enough rows that
// their lines, when a page apart, find room in the cache's sets.
constexpr int64_t block_rows = 96, block_columns = 512, block_depth = 256;
// Packing writes whole vectors, beyond the end of a panel of rows.
constexpr int64_t slack = 16;
constexpr int64_t rows_panel(int64_t depth) {
  return tile_rows * depth + slack;
}
constexpr int64_t packed_rows = block_rows / tile_rows * rows_panel(block_depth);
static_assert(block_rows % tile_rows == 0 && block_columns % tile_columns == 0);
static_assert(packed_rows + block_depth * block_columns <= gemm_workspace);

int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

// The first `count` of `width` lines at depth [begin, end) to to[p * width + line], one by one.
void pack_slowly(int64_t count, int64_t width, int64_t begin, int64_t end, const float* from,
                 int64_t line_stride, int64_t depth_stride, float* to) {
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t p = begin; p < end; ++p) {
      to[p * width + i] = i < count ? from[i * line_stride + p * depth_stride] : 0;
    }
  }
}

// Panels of tile_columns columns: element (p, column j) of a panel goes to p * tile_columns + j;
// missing columns of the last panel are zero.
void pack_columns(int64_t columns, int64_t depth, const float* b, int64_t b_row, int64_t b_column,
                  float* to) {
  // Rows are read some panels wide: their lines may be a page apart, and leave the cache soon.
  constexpr int64_t together = 4;
  int64_t whole = columns / tile_columns * tile_columns, panel_size = tile_columns * depth;
  if (b_column == 1) {
    for (int64_t first = 0; first < whole; first += together * tile_columns) {
      int64_t last = least(first + together * tile_columns, whole);
      for (int64_t p = 0; p < depth; ++p) {
        const float* row = b + p * b_row;
        float* at = to + first * depth + p * tile_columns;
        for (int64_t j = first; j < last; j += tile_columns, at += panel_size) {
          store(at, load<VFloat>(row + j));
          store(at + lanes, load<VFloat>(row + j + lanes));
        }
      }
    }
  }
  for (int64_t first = 0; first < columns; first += tile_columns) {
    float* at = to + first * depth;
    const float* panel = b + first * b_column;
    int64_t count = least(tile_columns, columns - first), p = 0;
    if (count == tile_columns && b_column == 1) continue;
    if (count == tile_columns && b_row == 1) {
      for (; p + lanes <= depth; p += lanes) {
        transpose_block<VFloat>(panel + p, b_column, at + p * tile_columns, tile_columns);
        transpose_block<VFloat>(panel + lanes * b_column + p, b_column,
                                at + p * tile_columns + lanes, tile_columns);
      }
    }
    pack_slowly(count, tile_columns, p, depth, panel, b_column, b_row, at);
  }
}

// Panels of tile_rows rows, rows_panel(depth) apart: element (row i, p) of a panel goes to
// p * tile_rows + i; missing rows of the last panel are zero.
void pack_rows(int64_t rows, int64_t depth, const float* a, int64_t a_row, int64_t a_column,
               float* to) {
  int64_t first = 0;
  if (a_row == 1) {
    // A panel's line takes one or two vectors, the last of which may bring values too many: they
    // belong to rows that exist, and are written over.
    constexpr int64_t width = (tile_rows + lanes - 1) / lanes * lanes;
    int64_t whole = 0;
    while (rows - whole >= width) whole += tile_rows;
    for (int64_t p = 0; p < depth; ++p) {
      const float* line = a + p * a_column;
      float* at = to + p * tile_rows;
      for (int64_t i = 0; i < whole; i += tile_rows, at += rows_panel(depth)) {
        VFloat values[width / lanes];
        for (int j = 0; j < width / lanes; ++j) values[j] = load<VFloat>(line + i + j * lanes);
        for (int j = 0; j < width / lanes; ++j) store(at + j * lanes, values[j]);
      }
    }
    first = whole;
  }
  for (; first < rows; first += tile_rows) {
    pack_slowly(least(tile_rows, rows - first), tile_rows, 0, depth, a + first * a_row, a_row,
                a_column, to + first / tile_rows * rows_panel(depth));
  }
}

[[gnu::always_inline]] inline VFloat finish(VFloat value, const GemmArgs& g, int64_t row,
                                            int64_t column) {
  if (g.bias != nullptr) value += load<VFloat>(g.bias + column);
  if (g.residual != nullptr) value += load<VFloat>(g.residual + row * g.c_row + column);
  if (g.relu) {
    value = value < VFloat{} ? VFloat{} : value;  // NaN stays
    value = value > splat(g.limit) ? splat(g.limit) : value;
  }
  return value;
}

float finish(float value, const GemmArgs& g, int64_t row, int64_t column) {
  if (g.bias != nullptr) value += g.bias[column];
  if (g.residual != nullptr) value += g.residual[row * g.c_row + column];
  if (g.relu && value < 0) value = 0;
  if (g.relu && value > g.limit) value = g.limit;
  return value;
}

// What one block of depth adds to c.
struct Depth {
  int64_t depth;
  bool accumulate, last;
};

// A tile of c at a row and column. x: its rows of a.
[[gnu::always_inline]] inline void whole_tile(const GemmArgs& g, const Depth& d, const float* x,
                                              int64_t x_row, int64_t x_step, const float* w,
                                              int64_t row, int64_t column) {
  float* c = g.c + row * g.c_row + column;
  for (int i = 0; i < tile_rows; ++i) __builtin_prefetch(c + i * g.c_row);
  multiply<tile_rows, 2>(d.depth, x, x_row, x_step, w, tile_columns, c, g.c_row, d.accumulate);
  if (!d.last || !g.finishes()) return;
  for (int i = 0; i < tile_rows; ++i) {
    for (int j = 0; j < tile_columns; j += lanes) {
      float* to = c + i * g.c_row + j;
      store(to, finish(load<VFloat>(to), g, row + i, column + j));
    }
  }
}

// A tile that reaches beyond c: by way of a whole one.
void partial_tile(const GemmArgs& g, const Depth& d, const float* x, int64_t x_row, int64_t x_step,
                  const float* w, int64_t row, int64_t column, int64_t rows, int64_t columns) {
  alignas(64) float tile[tile_rows * tile_columns];
  multiply<tile_rows, 2>(d.depth, x, x_row, x_step, w, tile_columns, tile, tile_columns, false);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      float value = tile[i * tile_columns + j];
      float& c = g.c[(row + i) * g.c_row + column + j];
      if (d.accumulate) value += c;
      c = d.last ? finish(value, g, row + i, column + j) : value;
    }
  }
}
}  // namespace

void gemm_block(const GemmArgs& g, float* workspace) {
  float *packed_a = workspace, *packed_b = workspace + packed_rows;
  // Rows that lie one after the other are read where they are.
  bool direct = g.a_column == 1;
  for (int64_t n0 = 0; n0 < g.n; n0 += block_columns) {
    int64_t columns = least(block_columns, g.n - n0);
    for (int64_t k0 = 0; k0 < g.k; k0 += block_depth) {
      Depth d{least(block_depth, g.k - k0), g.accumulate || k0 > 0, k0 + block_depth >= g.k};
      pack_columns(columns, d.depth, g.b + k0 * g.b_row + n0 * g.b_column, g.b_row, g.b_column,
                   packed_b);
      for (int64_t m0 = 0; m0 < g.m; m0 += block_rows) {
        int64_t rows = least(block_rows, g.m - m0), whole = rows / tile_rows * tile_rows;
        const float* a = g.a + m0 * g.a_row + k0 * g.a_column;
        // Of rows that are read in place, those of a last tile that has too few.
        int64_t packed = direct ? whole : 0;
        pack_rows(rows - packed, d.depth, a + packed * g.a_row, g.a_row, g.a_column, packed_a);
        for (int64_t j = 0; j < columns; j += tile_columns) {
          const float* w = packed_b + j * d.depth;
          int64_t tiles = (rows + tile_rows - 1) / tile_rows;
          for (int64_t i = 0; i < rows; i += tile_rows) {
            bool in_place = i < packed;
            const float* x = in_place ? a + i * g.a_row
                                      : packed_a + (i - packed) / tile_rows * rows_panel(d.depth);
            int64_t x_row = in_place ? g.a_row : 1, x_step = in_place ? 1 : tile_rows;
            // The columns that come next, while these are multiplied.
            fetch_part(w + d.depth * tile_columns, d.depth * tile_columns, i / tile_rows, tiles);
            if (i < whole && j + tile_columns <= columns) {
              whole_tile(g, d, x, x_row, x_step, w, m0 + i, n0 + j);
            } else {
              partial_tile(g, d, x, x_row, x_step, w, m0 + i, n0 + j, least(tile_rows, rows - i),
                           least(tile_columns, columns - j));
            }
          }
        }
      }
    }
  }
}

}  // namespace wafer::cpu::WAFER_ISA
