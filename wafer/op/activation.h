#pragma once
#include "wafer/ir/tensor.h"

// Activation functions, element-wise.
namespace wafer {

Tensor relu(const Tensor& x);     // max(x, 0); NaN stays NaN
Tensor relu6(const Tensor& x);    // min(max(x, 0), 6)
Tensor sigmoid(const Tensor& x);  // 1 / (1 + exp(-x))
Tensor silu(const Tensor& x);     // x sigmoid(x)
// x Phi(x) with the normal distribution's Phi (Hendrycks and Gimpel 2016); `approximate`: the tanh
// form.
Tensor gelu(const Tensor& x, bool approximate = false);
Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01);
Tensor elu(const Tensor& x, double alpha = 1.0);
Tensor softplus(const Tensor& x);  // log(1 + exp(x)) without overflow
Tensor log_sigmoid(const Tensor& x);
Tensor hard_sigmoid(const Tensor& x);  // clamp(x / 6 + 1/2, 0, 1)
Tensor hard_swish(const Tensor& x);

}  // namespace wafer
