#pragma once
#include <vector>

#include "wafer/deploy/onnx/context.h"

namespace wafer::onnx {

// The windows of a convolution or pooling: one number for each spatial dimension.
struct Window {
  std::vector<int64_t> kernel, stride, dilation, low, high;  // low, high: padding

  size_t dims() const { return kernel.size(); }
  // From the first to the last element of a window.
  int64_t extent(size_t i) const { return dilation[i] * (kernel[i] - 1) + 1; }
};

// The sizes behind batch and channels, which must be static; none where the rank is less than 3.
std::vector<int64_t> spatial_sizes(const Shape& shape);

// Reads kernel_shape, strides, dilations, pads and auto_pad; `sizes` are the input's spatial sizes.
// `kernel` is what counts where kernel_shape is not given.
Window read_window(const Context& c, const std::vector<int64_t>& sizes,
                   std::vector<int64_t> kernel = {});

}  // namespace wafer::onnx
