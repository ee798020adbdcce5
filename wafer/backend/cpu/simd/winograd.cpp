#include "wafer/backend/cpu/simd/winograd.h"

#include "wafer/backend/cpu/simd/ahead.h"
#include "wafer/backend/cpu/simd/multiply.h"

namespace wafer::cpu::WAFER_ISA {

namespace {
static_assert(winograd_panel % tile_columns == 0 && 12 % tile_rows == 0);

// The points a and b, their cubes, and 1 / N(p), the product of p's distances from the others.
constexpr float a = 0.70710678118654752f, b = 1.41421356237309505f;
constexpr float a3 = a / 2, b3 = b * 2;
constexpr float over_na = -2.0f / 3, over_nb = 1.0f / 6;

struct Six {
  VFloat at[6];
};

// B^T x: 6 inputs to 6 points 0, a, -a, b, -b, infinity.
[[gnu::always_inline]] inline Six to_points(const Six& x) {
  VFloat even_a = x.at[4] - 2.0f * x.at[2], odd_a = a * (x.at[3] - 2.0f * x.at[1]);
  VFloat even_b = x.at[4] - 0.5f * x.at[2], odd_b = b * (x.at[3] - 0.5f * x.at[1]);
  return {{x.at[0] - 2.5f * x.at[2] + x.at[4], even_a + odd_a, even_a - odd_a, even_b + odd_b,
           even_b - odd_b, x.at[1] - 2.5f * x.at[3] + x.at[5]}};
}
// G w: the first 3 of x.
[[gnu::always_inline]] inline Six weight_to_points(const Six& x) {
  VFloat even_a = over_na * (x.at[0] + 0.5f * x.at[2]), odd_a = over_na * a * x.at[1];
  VFloat even_b = over_nb * (x.at[0] + 2.0f * x.at[2]), odd_b = over_nb * b * x.at[1];
  return {{x.at[0], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, x.at[2]}};
}
// A^T m: 6 points to the first 4 of the result.
[[gnu::always_inline]] inline Six from_points(const Six& m) {
  VFloat sum_a = m.at[1] + m.at[2], difference_a = m.at[1] - m.at[2];
  VFloat sum_b = m.at[3] + m.at[4], difference_b = m.at[3] - m.at[4];
  return {{m.at[0] + sum_a + sum_b, a * difference_a + b * difference_b,
           0.5f * sum_a + 2.0f * sum_b, a3 * difference_a + b3 * difference_b + m.at[5]}};
}
// A y: the first 4 of y.
[[gnu::always_inline]] inline Six gradient_to_points(const Six& y) {
  VFloat even_a = y.at[0] + 0.5f * y.at[2], odd_a = a * y.at[1] + a3 * y.at[3];
  VFloat even_b = y.at[0] + 2.0f * y.at[2], odd_b = b * y.at[1] + b3 * y.at[3];
  return {{y.at[0], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, y.at[3]}};
}
// G^T m: 6 points to the first 3 of the result.
[[gnu::always_inline]] inline Six weight_from_points(const Six& m) {
  VFloat sum_a = over_na * (m.at[1] + m.at[2]), difference_a = over_na * (m.at[1] - m.at[2]);
  VFloat sum_b = over_nb * (m.at[3] + m.at[4]), difference_b = over_nb * (m.at[3] - m.at[4]);
  return {{m.at[0] + sum_a + sum_b, a * difference_a + b * difference_b,
           0.5f * sum_a + 2.0f * sum_b + m.at[5]}};
}

// Calls store(i, j, value) with T x T^t, where T takes `from` elements to `to` and x(i, j) is asked
// for column by column.
template <int from, int to, class Transform, class Load, class Store>
[[gnu::always_inline]] inline void transform(Transform one, Load x, Store to_store) {
  VFloat between[to][6];
#pragma GCC unroll 6
  for (int j = 0; j < from; ++j) {
    Six column;
#pragma GCC unroll 6
    for (int i = 0; i < from; ++i) column.at[i] = x(i, j);
    Six result = one(column);
#pragma GCC unroll 6
    for (int i = 0; i < to; ++i) between[i][j] = result.at[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < to; ++i) {
    Six row;
#pragma GCC unroll 6
    for (int j = 0; j < from; ++j) row.at[j] = between[i][j];
    Six result = one(row);
#pragma GCC unroll 6
    for (int j = 0; j < to; ++j) to_store(i, j, result.at[j]);
  }
}

// Where a tile begins.
struct Tile {
  int64_t image, row, column;  // of y

  Tile(const WinogradGeometry& g, int64_t index) {
    int64_t across = g.tiles_along(1), down = g.tiles_along(0);
    column = index % across * 4;
    row = index / across % down * 4;
    image = index / across / down;
  }
};

// A channels-last image set, of which tiles of `size` by `size` positions are transformed.
struct Images {
  const float* values;
  const int64_t* size;  // rows and columns
  int64_t channels;
  int64_t low[2];  // how far a tile begins before its outputs
};

// Pointers to the first channel of each position of a tile; null outside of the image.
template <int size>
void positions(const Images& images, const Tile& tile, const float* (&at)[size * size]) {
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < size; ++j) {
      int64_t row = tile.row - images.low[0] + i, column = tile.column - images.low[1] + j;
      bool inside = row >= 0 && row < images.size[0] && column >= 0 && column < images.size[1];
      int64_t position = (tile.image * images.size[0] + row) * images.size[1] + column;
      at[i * size + j] = inside ? images.values + position * images.channels : nullptr;
    }
  }
}

// Tiles [begin, end), by `one` along each axis, to values [point][tile][channels].
template <int size, class Transform>
[[gnu::always_inline]] inline void transform_tiles(const WinogradGeometry& g, const Images& images,
                                                   Transform one, int64_t begin, int64_t end,
                                                   int64_t row, int64_t rows, float* values) {
  int64_t channels = images.channels, stride = winograd_stride(rows * channels);
  for (int64_t index = begin; index < end; ++index, ++row) {
    Tile tile(g, index);
    const float* at[size * size];
    positions<size>(images, tile, at);
    float* to = values + row * channels;
    for (int64_t c = 0; c < channels; c += lanes) {
      transform<size, 6>(
          one,
          [&](int i, int j) __attribute__((always_inline)) {
            const float* from = at[i * size + j];
            return from != nullptr ? load<VFloat>(from + c) : VFloat{};
          },
          [&](int i, int j, VFloat value)
              __attribute__((always_inline)) { store(to + (i * 6 + j) * stride + c, value); });
    }
  }
}

// Values [point][block][panel] of one panel to y.
void finish_tiles(const WinogradGeometry& g, const float* values, int64_t point_stride,
                  const Finish& f, float* y, int64_t begin, int64_t end, int64_t panel) {
  int64_t first = panel * winograd_panel, count = least(winograd_panel, g.outputs - first);
  for (int64_t index = begin; index < end; ++index) {
    Tile tile(g, index);
    const float* from = values + (index - begin) * winograd_panel;
    int64_t rows = least(4, g.out[0] - tile.row), columns = least(4, g.out[1] - tile.column);
    int64_t start =
        ((tile.image * g.out[0] + tile.row) * g.out[1] + tile.column) * g.outputs + first;
    for (int64_t k = 0; k < count; k += lanes) {
      transform<6, 4>(
          [](const Six& m) __attribute__((always_inline)) { return from_points(m); },
          [&](int i, int j) __attribute__((always_inline)) {
            return load<VFloat>(from + (i * 6 + j) * point_stride + k);
          },
          [&](int i, int j, VFloat value) __attribute__((always_inline)) {
            if (i >= rows || j >= columns) return;
            int64_t at = start + (i * g.out[1] + j) * g.outputs + k;
            store(y + at, finish(value, f, first + k, at));
          });
    }
  }
}
}  // namespace

void winograd_weights(const WinogradGeometry& g, const float* weight, bool flip, float* transformed,
                      int64_t begin, int64_t end) {
  int64_t tap = g.channels * g.outputs, stride = winograd_stride(g.channels * winograd_panel);
  for (int64_t panel = begin; panel < end; ++panel) {
    int64_t first = panel * winograd_panel, count = least(winograd_panel, g.outputs - first);
    float* to = transformed + panel * winograd_panel_floats(g.channels);
    for (int64_t c = 0; c < g.channels; ++c) {
      for (int64_t k = 0; k < winograd_panel; k += lanes) {
        const float* from = weight + c * g.outputs + first + k;
        transform<3, 6>(
            [](const Six& w) __attribute__((always_inline)) { return weight_to_points(w); },
            [&](int i, int j) __attribute__((always_inline)) {
              int at = flip ? 8 - i * 3 - j : i * 3 + j;
              return k < count ? load<VFloat>(from + at * tap) : VFloat{};
            },
            [&](int i, int j, VFloat value) __attribute__((always_inline)) {
              store(to + (i * 6 + j) * stride + k / tile_columns * g.channels * tile_columns +
                        c * tile_columns + k % tile_columns,
                    value);
            });
      }
    }
  }
}

void winograd_transform_x(const WinogradGeometry& g, const float* x, int64_t begin, int64_t end,
                          int64_t row, int64_t rows, float* values) {
  transform_tiles<6>(
      g, {x, g.in, g.channels, {g.low[0], g.low[1]}},
      [](const Six& v) __attribute__((always_inline)) { return to_points(v); }, begin, end, row,
      rows, values);
}

void winograd_tiles(const WinogradGeometry& g, const float* x, const float* transformed,
                    const Finish& finishing, float* y, int64_t begin, int64_t end, int64_t block,
                    int64_t first_panel, int64_t last_panel, float* workspace) {
  int64_t x_stride = winograd_stride(block * g.channels);
  int64_t y_stride = winograd_stride(block * winograd_panel);
  int64_t w_stride = winograd_stride(g.channels * winograd_panel);
  float *values = workspace, *results = workspace + winograd_points * x_stride;
  for (int64_t first = begin; first < end; first += block) {
    int64_t last = least(first + block, end);
    winograd_transform_x(g, x, first, last, 0, block, values);
    for (int64_t panel = first_panel; panel < last_panel; ++panel) {
      const float* weight = transformed + panel * winograd_panel_floats(g.channels);
      for (int64_t point = 0; point < winograd_points; ++point) {
        // Rows beyond the last tile are computed, too, of what lies there, and not looked at.
        int64_t rows = (last - first + tile_rows - 1) / tile_rows * tile_rows;
        for (int64_t j = 0; j < winograd_panel; j += tile_columns) {
          const float* columns = weight + point * w_stride + j * g.channels;
          int64_t count = g.channels * tile_columns;
          Ahead<CacheLevel::first> next_columns(columns + count, 1, count, 0, rows / tile_rows);
          for (int64_t i = 0; i < rows; i += tile_rows) {
            next_columns.fetch();
            RowByRow x_rows{values + point * x_stride + i * g.channels, g.channels};
            multiply_rows<2>(tile_rows, g.channels, x_rows, PackedColumns{columns},
                             results + point * y_stride + i * winograd_panel + j, winograd_panel,
                             false);
          }
        }
      }
      finish_tiles(g, results, y_stride, finishing, y, first, last, panel);
    }
  }
}

void winograd_transform_gradient(const WinogradGeometry& g, const float* y, int64_t begin,
                                 int64_t end, int64_t row, int64_t rows, float* values) {
  transform_tiles<4>(
      g, {y, g.out, g.outputs, {0, 0}},
      [](const Six& v) __attribute__((always_inline)) { return gradient_to_points(v); }, begin, end,
      row, rows, values);
}

void winograd_products(const WinogradGeometry& g, const float* x, const float* y, int64_t rows,
                       int64_t tiles, bool accumulate, float* sums, int64_t begin, int64_t end) {
  int64_t x_stride = winograd_stride(rows * g.channels);
  int64_t y_stride = winograd_stride(rows * g.outputs);
  for (int64_t point = begin; point < end; ++point) {
    StepByStep x_columns{x + point * x_stride, g.channels};
    const float* y_at = y + point * y_stride;
    float* to = sums + point * winograd_stride(g.channels * g.outputs);
    int64_t j = 0;
    for (; j + tile_columns <= g.outputs; j += tile_columns) {
      multiply_rows<2>(g.channels, tiles, x_columns, StepByStep{y_at + j, g.outputs}, to + j,
                       g.outputs, accumulate);
    }
    for (; j < g.outputs; j += lanes) {
      multiply_rows<1>(g.channels, tiles, x_columns, StepByStep{y_at + j, g.outputs}, to + j,
                       g.outputs, accumulate);
    }
  }
}

void winograd_weight_gradient(const WinogradGeometry& g, const float* sums, float* weight,
                              int64_t begin, int64_t end) {
  int64_t tap = g.channels * g.outputs, stride = winograd_stride(tap);
  for (int64_t at = begin * g.outputs; at < end * g.outputs; at += lanes) {
    transform<6, 3>(
        [](const Six& m) __attribute__((always_inline)) { return weight_from_points(m); },
        [&](int i, int j) __attribute__((always_inline)) {
          return load<VFloat>(sums + (i * 6 + j) * stride + at);
        },
        [&](int i, int j, VFloat value)
            __attribute__((always_inline)) { store(weight + (i * 3 + j) * tap + at, value); });
  }
}

}  // namespace wafer::cpu::WAFER_ISA
