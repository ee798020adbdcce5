#include "wafer/nn/activation.h"

#include "wafer/op/activation.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/softmax.h"

namespace wafer::nn {

Tensor ReLU::forward(const Tensor& x) {
  return relu(x);
}
Tensor ReLU6::forward(const Tensor& x) {
  return relu6(x);
}
Tensor Sigmoid::forward(const Tensor& x) {
  return sigmoid(x);
}
Tensor Tanh::forward(const Tensor& x) {
  return tanh(x);
}
Tensor SiLU::forward(const Tensor& x) {
  return silu(x);
}
Tensor Softplus::forward(const Tensor& x) {
  return softplus(x);
}
Tensor HardSigmoid::forward(const Tensor& x) {
  return hard_sigmoid(x);
}
Tensor HardSwish::forward(const Tensor& x) {
  return hard_swish(x);
}
Tensor GELU::forward(const Tensor& x) {
  return gelu(x, approximate_);
}
Tensor LeakyReLU::forward(const Tensor& x) {
  return leaky_relu(x, negative_slope_);
}
Tensor ELU::forward(const Tensor& x) {
  return elu(x, alpha_);
}
Tensor Softmax::forward(const Tensor& x) {
  return softmax(x, axis_);
}
Tensor LogSoftmax::forward(const Tensor& x) {
  return log_softmax(x, axis_);
}

}  // namespace wafer::nn
