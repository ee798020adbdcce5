#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/simd/finish.h"

namespace wafer::cpu {

// A depthwise convolution of channels-last f32: each channel by itself, in three spatial axes.
struct DepthwiseGeometry {
  int64_t channels = 0;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, low[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};
};

// Weights are [kernel position][channel]. Rows are all positions of the last axis, counted over
// batch and the first two axes: of y for the first and the last of these, of x for the second.
WAFER_SIMD(void, depthwise_rows,
           (const DepthwiseGeometry& g, const float* x, const float* weight, float* y,
            const Finish& finish, int64_t begin, int64_t end))
WAFER_SIMD(void, depthwise_input_gradient_rows,
           (const DepthwiseGeometry& g, const float* y, const float* weight, float* x,
            int64_t begin, int64_t end))
// Adds to `weight`.
WAFER_SIMD(void, depthwise_weight_gradient_rows,
           (const DepthwiseGeometry& g, const float* x, const float* y, float* weight,
            int64_t begin, int64_t end))

}  // namespace wafer::cpu
