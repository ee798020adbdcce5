#pragma once
#include <optional>
#include <tuple>
#include <vector>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Normalisation. Variances are mean squared distances from the mean (divided by n). Tensors are
// floating and of one dtype; weight and bias may be empty: 1 and 0.
namespace wafer {

struct BatchNormResult {
  Tensor y;
  Tensor mean, variance;     // of the batch, [channels]
  Tensor unbiased_variance;  // divided by n - 1: what running statistics take, as in PyTorch
};
// x [batch, channels, ...] normalised for each channel by the batch's own mean and variance, times
// weight plus bias [channels] (Ioffe and Szegedy 2015): training. A single value per channel is an
// error.
BatchNormResult batch_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {},
                           double epsilon = 1e-5);
// The same by given statistics [channels]: inference.
Tensor batch_norm_inference(const Tensor& x, const Tensor& mean, const Tensor& variance,
                            const Tensor& weight = {}, const Tensor& bias = {},
                            double epsilon = 1e-5);

// x normalised over its last dimensions, which are `normalised`, times weight plus bias of that
// shape (Ba et al. 2016).
Tensor layer_norm(const Tensor& x, const std::vector<int64_t>& normalised,
                  const Tensor& weight = {}, const Tensor& bias = {}, double epsilon = 1e-5);
// x / sqrt(mean(x^2) + epsilon) over its last dimensions, times weight (Zhang and Sennrich 2019).
// Without epsilon: the distance from 1 to the next number of x's dtype, as in PyTorch.
Tensor rms_norm(const Tensor& x, const std::vector<int64_t>& normalised, const Tensor& weight = {},
                std::optional<double> epsilon = std::nullopt);
// x [batch, channels, ...] normalised for each of `groups` groups of channels of a sample, times
// weight plus bias [channels] (Wu and He 2018).
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight = {},
                  const Tensor& bias = {}, double epsilon = 1e-5);
// For each channel of a sample: group_norm with as many groups as channels.
Tensor instance_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {},
                     double epsilon = 1e-5);

// Op batch_norm: x, weight, bias -> y, mean, variance.
// Op batch_norm_gradient: y's gradient, x, weight, mean, variance -> gradients of x, weight, bias.
// Op batch_norm_inference: x, mean, variance, weight, bias -> y.
struct BatchNormAttrs {
  double epsilon = 1e-5;
  static constexpr auto fields() {
    return std::make_tuple(Field{"epsilon", &BatchNormAttrs::epsilon});
  }
};

// Op layer_norm: x or x, weight, bias -> y and mean, 1 / sqrt(variance + epsilon) of the leading
// dimensions. Op layer_norm_gradient: y's gradient, x, mean, inverse deviation and, if any, weight
// -> gradients of x and, if there is a weight, of weight and bias.
// Op rms_norm: x or x, weight -> y and 1 / sqrt(mean square + epsilon). Op rms_norm_gradient: y's
// gradient, x, inverse root and, if any, weight -> gradients of x and, if any, weight.
struct LayerNormAttrs {
  int64_t dimensions = 1;  // how many of the last ones
  double epsilon = 1e-5;
  static constexpr auto fields() {
    return std::make_tuple(Field{"dimensions", &LayerNormAttrs::dimensions},
                           Field{"epsilon", &LayerNormAttrs::epsilon});
  }
};

}  // namespace wafer
