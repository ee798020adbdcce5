#include "wafer/op/activation.h"

#include "wafer/deploy/onnx/rules.h"
#include "wafer/op/softmax.h"

namespace wafer::onnx {

namespace {
Values relu_rule(Context& c) {
  const Tensor& x = c.in(0);
  return {is_floating(x.dtype()) ? relu(x) : maximum(x, scalar(0, x.dtype()))};
}
Values sigmoid_rule(Context& c) {
  return {sigmoid(c.in(0))};
}
Values elu_rule(Context& c) {
  return {elu(c.in(0), c.number("alpha", 1))};
}
Values celu(Context& c) {
  const Tensor& x = c.in(0);
  double alpha = c.number("alpha", 1);
  return {add(maximum(x, 0.0), minimum(mul(expm1(div(x, alpha)), alpha), 0.0))};
}
Values selu(Context& c) {
  const Tensor& x = c.in(0);
  bool old = c.version() < 6;
  double alpha = c.number("alpha", old ? 1.6732 : 1.67326319217681884765625);
  double gamma = c.number("gamma", old ? 1.0507 : 1.05070102214813232421875);
  return {mul(where(greater(x, 0.0), x, mul(expm1(minimum(x, 0.0)), alpha)), gamma)};
}
Values leaky_relu_rule(Context& c) {
  return {leaky_relu(c.in(0), c.number("alpha", 0.01))};
}
Values prelu(Context& c) {
  const Tensor& x = c.in(0);
  Tensor slope = c.in(1);
  // Before version 7 a slope for each channel stands alone.
  if (c.version() < 7 && slope.rank() == 1 && x.rank() > 2 && slope.size(0) == x.size(1)) {
    Ints sizes(static_cast<size_t>(x.rank()) - 1, 1);
    sizes[0] = slope.size(0);
    slope = reshape(slope, sizes);
  }
  return {where(less(x, scalar(0, x.dtype())), mul(x, slope), x)};
}
Values thresholded_relu(Context& c) {
  const Tensor& x = c.in(0);
  return {where(greater(x, c.number("alpha", 1)), x, zeros_like(x))};
}
Values hard_sigmoid_rule(Context& c) {
  return {clamp(add(mul(c.in(0), c.number("alpha", 0.2)), c.number("beta", 0.5)), 0, 1)};
}
Values hard_swish_rule(Context& c) {
  return {hard_swish(c.in(0))};
}
Values softplus_rule(Context& c) {
  return {softplus(c.in(0))};
}
Values softsign(Context& c) {
  return {div(c.in(0), add(abs(c.in(0)), 1.0))};
}
Values mish(Context& c) {
  return {mul(c.in(0), tanh(softplus(c.in(0))))};
}
Values swish(Context& c) {
  const Tensor& x = c.in(0);
  double alpha = c.number("alpha", 1);
  return {alpha == 1 ? silu(x) : mul(x, sigmoid(mul(x, alpha)))};
}
Values gelu_rule(Context& c) {
  std::string form = c.text("approximate", "none");
  c.require(form == "none" || form == "tanh", "approximate '" + form + "'");
  return {gelu(c.in(0), form == "tanh")};
}
Values shrink(Context& c) {
  Tensor x = c.in(0);
  double lambda = c.number("lambd", 0.5), bias = c.number("bias", 0);
  bool whole = !is_floating(x.dtype());
  DType type = x.dtype();
  if (whole) x = cast(x, DType::f64);
  Tensor y =
      where(less(x, -lambda), add(x, bias), where(greater(x, lambda), sub(x, bias), zeros_like(x)));
  return {cast(y, type)};
}

// Before version 13 over all dimensions from `axis` on, as if they were one.
template <Tensor (*build)(const Tensor&, int)>
Values normalised(Context& c) {
  const Tensor& x = c.in(0);
  int axis = axis_of(c, c.integer("axis", c.version() < 13 ? 1 : -1), std::max(x.rank(), 1));
  if (c.version() >= 13) return {build(x, axis)};
  Ints sizes = x.shape().sizes(), flat = {1, 1};
  for (size_t i = 0; i < sizes.size(); ++i) flat[static_cast<int>(i) < axis ? 0 : 1] *= sizes[i];
  return {reshape(build(reshape(x, flat), 1), sizes)};
}
Tensor hardmax(const Tensor& x, int axis) {
  return cast(equal(iota(x.shape(), axis), argmax(x, axis, true)), x.dtype());
}

constexpr RuleEntry activation_table[] = {
    {"Celu", celu},
    {"Elu", elu_rule},
    {"Gelu", gelu_rule},
    {"HardSigmoid", hard_sigmoid_rule},
    {"HardSwish", hard_swish_rule},
    {"Hardmax", normalised<hardmax>},
    {"LeakyRelu", leaky_relu_rule},
    {"LogSoftmax", normalised<log_softmax>},
    {"Mish", mish},
    {"PRelu", prelu},
    {"Relu", relu_rule},
    {"Selu", selu},
    {"Shrink", shrink},
    {"Sigmoid", sigmoid_rule},
    {"Softmax", normalised<softmax>},
    {"Softplus", softplus_rule},
    {"Softsign", softsign},
    {"Swish", swish},
    {"ThresholdedRelu", thresholded_relu},
};
}  // namespace

RuleList activation_rules() {
  return activation_table;
}

}  // namespace wafer::onnx
