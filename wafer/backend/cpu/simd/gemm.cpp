#include "wafer/backend/cpu/simd/gemm.h"

#include "wafer/backend/cpu/simd/ahead.h"
#include "wafer/backend/cpu/simd/multiply.h"
#include "wafer/backend/cpu/simd/transpose_block.h"

namespace wafer::cpu::WAFER_ISA {

namespace {
// Packing writes whole vectors, beyond the end of a panel of rows.
constexpr int64_t slack = 16;
constexpr int64_t rows_panel(int64_t depth) {
  return tile_rows * depth + slack;
}
static_assert(gemm_block_rows % tile_rows == 0 && gemm_panel % tile_columns == 0 &&
              gemm_block_columns % gemm_panel == 0);
static_assert(gemm_block_rows / tile_rows * rows_panel(gemm_block_depth) <= gemm_rows_workspace);

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

// Rows are packed in squares of `count` elements, a vector of them, of each of a tile's rows.
template <int count>
constexpr bool interleaves = tile_rows == 6 && count == 8;
// Rows that are read for it.
template <int count>
constexpr int64_t square_rows = interleaves<count> ? 6 : (tile_rows + count - 1) / count* count;

// Of rows `stride` apart, as lines of tile_rows. May write beyond the last line, less than a
// vector.
template <class V, int count>
void pack_square(const float* from, int64_t stride, float* to) {
  if constexpr (interleaves<count>) {
    // Pairs of rows are interleaved, then pairs of pairs: nothing is read or written in vain.
    V low[3], high[3];  // of rows 2i and 2i + 1: columns 0, 1, 4 and 5; 2, 3, 6 and 7
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      auto even = load<V>(from + 2 * i * stride), odd = load<V>(from + (2 * i + 1) * stride);
      low[i] = __builtin_shufflevector(even, odd, 0, 8, 1, 9, 4, 12, 5, 13);
      high[i] = __builtin_shufflevector(even, odd, 2, 10, 3, 11, 6, 14, 7, 15);
    }
    V third[6];  // of lines 0 and 1, then of 2 and 3: a lower half each; the upper is of line + 4
    auto thirds = [](const V(&pair)[3], V* to) __attribute__((always_inline)) {
      to[0] = __builtin_shufflevector(pair[0], pair[1], 0, 1, 8, 9, 4, 5, 12, 13);
      to[1] = __builtin_shufflevector(pair[2], pair[0], 0, 1, 10, 11, 4, 5, 14, 15);
      to[2] = __builtin_shufflevector(pair[1], pair[2], 2, 3, 10, 11, 6, 7, 14, 15);
    };
    thirds(low, third);
    thirds(high, third + 3);
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      V first = third[2 * i], second = third[2 * i + 1];
      store(to + i * 8, __builtin_shufflevector(first, second, 0, 1, 2, 3, 8, 9, 10, 11));
      store(to + (i + 3) * 8, __builtin_shufflevector(first, second, 4, 5, 6, 7, 12, 13, 14, 15));
    }
  } else {
    for (int64_t i = square_rows<count> - count; i >= 0; i -= count)
      transpose_block<V>(from + i * stride, stride, to + i, tile_rows);
  }
}

// Panels of tile_rows rows, rows_panel(depth) apart: element (row i, p) of a panel goes to
// p * tile_rows + i; missing rows of the last panel are zero.
void pack_rows(int64_t rows, int64_t depth, const float* a, int64_t a_row, int64_t a_column,
               float* to) {
  int64_t first = 0;
  if (a_row == 1) {
    // A panel's line takes one or two vectors, the last of which may bring values too many: they
    // are written over or lie in the slack. Those of the last panel belong to the next line, which
    // the last line lacks.
    constexpr int64_t width = (tile_rows + lanes - 1) / lanes * lanes;
    first = rows / tile_rows * tile_rows;
    for (int64_t p = 0; p < depth; ++p) {
      const float* line = a + p * a_column;
      float* at = to + p * tile_rows;
      for (int64_t i = 0; i < first; i += tile_rows, at += rows_panel(depth)) {
        if (p + 1 == depth && rows - i < width) {
          pack_slowly(tile_rows, tile_rows, 0, 1, line + i, a_row, a_column, at);
          break;
        }
        VFloat values[width / lanes];
        for (int j = 0; j < width / lanes; ++j) values[j] = load<VFloat>(line + i + j * lanes);
        for (int j = 0; j < width / lanes; ++j) store(at + j * lanes, values[j]);
      }
    }
  }
  if (a_column == 1) {
    int64_t squares = depth / lanes * lanes;
    for (; rows - first >= square_rows<lanes>; first += tile_rows) {
      const float* from = a + first * a_row;
      float* at = to + first / tile_rows * rows_panel(depth);
      for (int64_t p = 0; p < squares; p += lanes) {
        pack_square<VFloat, lanes>(from + p, a_row, at + p * tile_rows);
      }
      pack_slowly(tile_rows, tile_rows, squares, depth, from, a_row, a_column, at);
    }
  }
  for (; first < rows; first += tile_rows) {
    pack_slowly(least(tile_rows, rows - first), tile_rows, 0, depth, a + first * a_row, a_row,
                a_column, to + first / tile_rows * rows_panel(depth));
  }
}

// What one block of depth adds to c, and whether c is then complete and something follows.
struct Depth {
  int64_t depth;
  bool accumulate, finishes;

  Depth(const GemmArgs& g, int64_t k0)
      : depth(least(gemm_block_depth, g.k - k0)),
        accumulate(g.accumulate || k0 > 0),
        finishes(k0 + gemm_block_depth >= g.k && !g.finish.empty()) {}
};

// The tile of rows that begins at row i.
RowByRow tile_at(const RowByRow& a, int64_t i, int64_t) {
  return a.from(i);
}
StepByStep tile_at(const StepByStep& a, int64_t i, int64_t) {
  return a.from(i);
}
PackedRows tile_at(const PackedRows& a, int64_t i, int64_t depth) {
  return {a.first + i / tile_rows * rows_panel(depth)};
}

// `rows` rows of a panel's columns, no more than a tile: a has their rows.
template <class A>
void multiply_tile(const GemmArgs& g, const Depth& d, int64_t rows, A a, const float* packed_b,
                   int64_t row, int64_t column) {
  PackedColumns b{packed_b};
  int64_t at = row * g.c_row + column;
  if (column + tile_columns <= g.n) {
    for (int64_t i = 0; i < rows; ++i) __builtin_prefetch(g.c + at + i * g.c_row, 1);
    if (d.finishes && g.finish.residual != nullptr) {
      // Of the panel that follows: this tile is too short to wait for memory in.
      const float* next = g.finish.residual + at + tile_columns;
      for (int64_t i = 0; i < rows; ++i) __builtin_prefetch(next + i * g.c_row);
    }
    if (d.finishes) {
      multiply_rows<2, true>(rows, d.depth, a, b, g.c + at, g.c_row, d.accumulate, &g.finish,
                             column, at);
    } else {
      multiply_rows<2>(rows, d.depth, a, b, g.c + at, g.c_row, d.accumulate);
    }
    return;
  }
  // Columns that reach beyond c: by way of whole ones.
  alignas(64) float tile[tile_rows * tile_columns];
  multiply_rows<2>(rows, d.depth, a, b, tile, tile_columns, false);
  for (int64_t i = 0; i < rows; ++i, at += g.c_row) {
    for (int64_t j = 0; column + j < g.n; ++j) {
      float value = tile[i * tile_columns + j];
      if (d.accumulate) value += g.c[at + j];
      g.c[at + j] = d.finishes ? finish(value, g.finish, column + j, at + j) : value;
    }
  }
}

// Too few rows to keep the multipliers busy with one panel: several at a time, as long as there are
// so many. Gives the columns that are done.
template <int rows, int panels, class A>
int64_t multiply_panels(const GemmArgs& g, const Depth& d, A a, const float* packed_b, int64_t row,
                        int64_t n0, int64_t columns) {
  constexpr int64_t width = panels * tile_columns;
  int64_t j = 0;
  for (; j + width <= columns && n0 + j + width <= g.n; j += width) {
    PackedColumns b{packed_b + j * d.depth, tile_columns * d.depth};
    int64_t at = row * g.c_row + n0 + j;
    if (d.finishes) {
      multiply<rows, 2 * panels, true>(d.depth, a, b, g.c + at, g.c_row, d.accumulate, &g.finish,
                                       n0 + j, at);
    } else {
      multiply<rows, 2 * panels>(d.depth, a, b, g.c + at, g.c_row, d.accumulate);
    }
  }
  return j;
}

// The rows that come next: a block of them finds room in the second-level cache.
using NextRows = Ahead<CacheLevel::second>;

// Columns [n0, n0 + columns) of a block of rows.
template <class A>
void multiply_columns(const GemmArgs& g, const Depth& d, A a, int64_t m0, int64_t rows,
                      const float* packed_b, int64_t n0, int64_t columns, NextRows next) {
  int64_t j = 0;
  if (rows == 1) j = multiply_panels<1, 4>(g, d, a, packed_b, m0, n0, columns);
  if (rows == 2) j = multiply_panels<2, 2>(g, d, a, packed_b, m0, n0, columns);
  if (rows == 3) j = multiply_panels<3, 2>(g, d, a, packed_b, m0, n0, columns);
  for (; j < columns; j += tile_columns) {
    for (int64_t i = 0; i < rows; i += tile_rows) {
      next.fetch();
      multiply_tile(g, d, least(tile_rows, rows - i), tile_at(a, i, d.depth),
                    packed_b + j * d.depth, m0 + i, n0 + j);
    }
  }
}

// The same with a: its first element; packed_b: its columns'. Rows that lie in order, one way or
// the other, are read where they are if packing them does not pay. The rows up to last_row are
// next.
void multiply_block(const GemmArgs& g, const Depth& d, const float* a, int64_t m0, int64_t last_row,
                    const float* packed_b, int64_t n0, int64_t columns, float* packed_a) {
  int64_t rows = least(gemm_block_rows, last_row - m0);
  int64_t next_rows = least(gemm_block_rows, last_row - m0 - rows);
  bool few_rows = rows < 2 * tile_rows, few_columns = columns < 6 * tile_columns;
  if (g.a_column == 1 && (few_rows || few_columns)) {
    multiply_columns(g, d, RowByRow{a, g.a_row}, m0, rows, packed_b, n0, columns, {});
    return;
  }
  if (g.a_row == 1 && few_columns) {
    multiply_columns(g, d, StepByStep{a, g.a_column}, m0, rows, packed_b, n0, columns, {});
    return;
  }
  pack_rows(rows, d.depth, a, g.a_row, g.a_column, packed_a);
  const float* from = a + rows * g.a_row;
  int64_t tiles = (rows / tile_rows + 1) * (columns / tile_columns + 1);
  NextRows next = g.a_column == 1 ? NextRows(from, next_rows, d.depth, g.a_row, tiles)
                                  : NextRows(from, d.depth, next_rows, g.a_column, tiles);
  multiply_columns(g, d, PackedRows{packed_a}, m0, rows, packed_b, n0, columns, next);
}
}  // namespace

void gemm_block(const GemmArgs& g, float* workspace) {
  float *packed_a = workspace, *packed_b = workspace + gemm_rows_workspace;
  for (int64_t n0 = 0; n0 < g.n; n0 += gemm_block_columns) {
    int64_t columns = least(gemm_block_columns, g.n - n0);
    for (int64_t k0 = 0; k0 < g.k; k0 += gemm_block_depth) {
      Depth d(g, k0);
      pack_columns(columns, d.depth, g.b + k0 * g.b_row + n0 * g.b_column, g.b_row, g.b_column,
                   packed_b);
      for (int64_t m0 = 0; m0 < g.m; m0 += gemm_block_rows) {
        multiply_block(g, d, g.a + m0 * g.a_row + k0 * g.a_column, m0, g.m, packed_b, n0, columns,
                       packed_a);
      }
    }
  }
}

void gemm_pack(const GemmArgs& g, float* packed, int64_t begin, int64_t end) {
  int64_t width = gemm_packed_floats(g.n, 1), n0 = begin * gemm_panel;
  int64_t columns = least(end * gemm_panel, g.n) - n0;
  for (int64_t k0 = 0; k0 < g.k; k0 += gemm_block_depth) {
    Depth d(g, k0);
    pack_columns(columns, d.depth, g.b + k0 * g.b_row + n0 * g.b_column, g.b_row, g.b_column,
                 packed + k0 * width + n0 * d.depth);
  }
}

void gemm_packed(const GemmArgs& g, const float* packed, int64_t first_row, int64_t last_row,
                 int64_t first_panel, int64_t last_panel, float* workspace) {
  // Each block of columns packs a anew: beside that, it costs little that b's panels come from the
  // third-level cache, in order.
  constexpr int64_t block = 2 * gemm_block_columns;
  int64_t width = gemm_packed_floats(g.n, 1), end = least(last_panel * gemm_panel, g.n);
  for (int64_t n0 = first_panel * gemm_panel; n0 < end; n0 += block) {
    int64_t columns = least(block, end - n0);
    for (int64_t k0 = 0; k0 < g.k; k0 += gemm_block_depth) {
      Depth d(g, k0);
      for (int64_t m0 = first_row; m0 < last_row; m0 += gemm_block_rows) {
        multiply_block(g, d, g.a + m0 * g.a_row + k0 * g.a_column, m0, last_row,
                       packed + k0 * width + n0 * d.depth, n0, columns, workspace);
      }
    }
  }
}

}  // namespace wafer::cpu::WAFER_ISA
