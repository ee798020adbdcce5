#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/simd/finish.h"

namespace wafer::cpu {

// Convolution of channels-last f32 images by a kernel of 3 by 3, stride 1, as Winograd's F(4x4,
// 3x3): S. Winograd, "Arithmetic complexity of computations" (1980); A. Lavin and S. Gray, "Fast
// algorithms for convolutional neural networks" (2016). A tile of 4 by 4 outputs and its 6 by 6
// inputs are transformed to 36 points, where the convolution is a product of each channel's values,
// so that 36 multiplications stand for 144. Points are 0, infinity, and the positive and negative
// roots of 1/2 and 2, whose rounding errors are half of those of the customary 1 and 2.
struct WinogradGeometry {
  int64_t batch = 0, channels = 0, outputs = 0;  // both multiples of 16
  int64_t in[2] = {1, 1}, out[2] = {1, 1};       // rows and columns of x and of y
  int64_t low[2] = {0, 0};                       // padding before the first row and column

  int64_t tiles_along(int axis) const { return (out[axis] + 3) / 4; }
  int64_t tiles() const { return batch * tiles_along(0) * tiles_along(1); }
};

constexpr int64_t winograd_points = 36;
// Outputs that are computed at a time; transformed weights lie in panels of so many.
constexpr int64_t winograd_panel = 32;
// Between the values of two points: not a multiple of a page, whose lines would share one set of
// the cache.
constexpr int64_t winograd_stride(int64_t values) {
  return values + 16;
}
// Floats of one panel of transformed weights, and of the workspace of winograd_tiles.
constexpr int64_t winograd_panel_floats(int64_t channels) {
  return winograd_points * winograd_stride(channels * winograd_panel);
}
constexpr int64_t winograd_workspace(int64_t channels, int64_t block) {
  return winograd_points *
         (winograd_stride(block * channels) + winograd_stride(block * winograd_panel));
}

// Transforms panels [begin, end) of a weight [3, 3, channels, outputs], its rows and columns in
// reverse order if `flip`.
WAFER_SIMD(void, winograd_weights,
           (const WinogradGeometry& g, const float* weight, bool flip, float* transformed,
            int64_t begin, int64_t end))

// Outputs of panels [first_panel, last_panel) at tiles [begin, end), `block` tiles at a time: a
// multiple of 12.
WAFER_SIMD(void, winograd_tiles,
           (const WinogradGeometry& g, const float* x, const float* transformed,
            const Finish& finishing, float* y, int64_t begin, int64_t end, int64_t block,
            int64_t first_panel, int64_t last_panel, float* workspace))

// Transforms tiles [begin, end) of x to values [point][tile][channels], or of y's gradient to
// [point][tile][outputs], from tile `row` of `rows` on. The values of two points are
// winograd_stride(rows * channels), or of outputs, apart.
WAFER_SIMD(void, winograd_transform_x,
           (const WinogradGeometry& g, const float* x, int64_t begin, int64_t end, int64_t row,
            int64_t rows, float* values))
WAFER_SIMD(void, winograd_transform_gradient,
           (const WinogradGeometry& g, const float* y, int64_t begin, int64_t end, int64_t row,
            int64_t rows, float* values))
// For the weight's gradient, at points [begin, end): the products of both over `tiles` tiles, added
// to sums [point][channels][outputs] if `accumulate`.
WAFER_SIMD(void, winograd_products,
           (const WinogradGeometry& g, const float* x, const float* y, int64_t rows, int64_t tiles,
            bool accumulate, float* sums, int64_t begin, int64_t end))
// The sums of channels [begin, end) to a weight [3, 3, channels, outputs].
WAFER_SIMD(void, winograd_weight_gradient,
           (const WinogradGeometry& g, const float* sums, float* weight, int64_t begin,
            int64_t end))

}  // namespace wafer::cpu
