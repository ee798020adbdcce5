#pragma once
#include <tuple>
#include <vector>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

namespace wafer {

// One number for all spatial dimensions or one for each.
struct ConvAttrs {
  std::vector<int64_t> stride, padding_low, padding_high, dilation;
  int64_t groups = 1;
  static constexpr auto fields() {
    return std::make_tuple(
        Field{"stride", &ConvAttrs::stride}, Field{"padding_low", &ConvAttrs::padding_low},
        Field{"padding_high", &ConvAttrs::padding_high}, Field{"dilation", &ConvAttrs::dilation},
        Field{"groups", &ConvAttrs::groups});
  }
};

struct ConvGradientAttrs {  // conv_input_gradient, conv_weight_gradient
  std::vector<int64_t> stride, padding_low, padding_high, dilation;
  int64_t groups = 1;
  Shape shape;  // of the result
  static constexpr auto fields() {
    return std::make_tuple(Field{"stride", &ConvGradientAttrs::stride},
                           Field{"padding_low", &ConvGradientAttrs::padding_low},
                           Field{"padding_high", &ConvGradientAttrs::padding_high},
                           Field{"dilation", &ConvGradientAttrs::dilation},
                           Field{"groups", &ConvGradientAttrs::groups},
                           Field{"shape", &ConvGradientAttrs::shape});
  }
};

struct ConvOptions {
  std::vector<int64_t> stride = {1}, padding = {0}, dilation = {1};
  int64_t groups = 1;
  // Padding after the last element where it differs from `padding`; empty: the same.
  std::vector<int64_t> padding_high = {};
};

// Cross-correlation of x [batch, in, spatial...] with weight [out, in/groups, kernel...], one to
// three spatial dimensions; plus bias [out] unless empty. Output size: (size + padding - dilation
// (kernel - 1) - 1) / stride + 1.
Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias,
            const ConvOptions& options = {});
// The gradient of conv by its input, used forward: x [batch, in, ...], weight [in, out/groups,
// kernel...].
Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const ConvOptions& options = {},
                      const std::vector<int64_t>& output_padding = {0});

// Gradients of conv: by the input (of `input_shape`) and by the weight (of `weight_shape`).
Tensor conv_input_gradient(const Tensor& gradient, const Tensor& weight, const Shape& input_shape,
                           const ConvAttrs& attrs);
Tensor conv_weight_gradient(const Tensor& x, const Tensor& gradient, const Shape& weight_shape,
                            const ConvAttrs& attrs);

}  // namespace wafer
