#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"
#include "wafer/tensor/grad.h"

// Optimiser steps of the training preview domain: rate, step, then all parameters, all gradients,
// and each state of all.
namespace wafer::onnx {

namespace {
size_t group_size(const Context& c, size_t groups) {
  c.require(c.inputs() > 2 && (c.inputs() - 2) % groups == 0,
            "the groups of inputs differ in size");
  return (c.inputs() - 2) / groups;
}
Tensor like(const Tensor& x, const Tensor& number) {
  return cast(reshape(number, Ints{}), x.dtype());
}

Values momentum(Context& c) {
  size_t n = group_size(c, 3);
  double alpha = c.number("alpha"), beta = c.number("beta"), decay = c.number("norm_coefficient");
  bool nesterov = c.text("mode") == "nesterov";
  Values out(2 * n);
  for (size_t i = 0; i < n; ++i) {
    const Tensor &x = c.in(2 + i), &v = c.in(2 + 2 * n + i);
    Tensor rate = like(x, c.in(0)), step = like(x, c.in(1));
    Tensor g = add(c.in(2 + n + i), mul(x, decay));
    // The first step takes the gradient whole.
    Tensor share = where(greater(step, 0.0), scalar(beta, x.dtype()), scalar(1, x.dtype()));
    Tensor moved = add(mul(v, alpha), mul(g, share));
    out[n + i] = moved;
    out[i] = sub(x, mul(rate, nesterov ? add(g, mul(moved, alpha)) : moved));
  }
  return out;
}

Values adagrad(Context& c) {
  size_t n = group_size(c, 3);
  double decay = c.number("norm_coefficient", 0), fade = c.number("decay_factor", 0);
  double epsilon = c.number("epsilon", 0);
  Values out(2 * n);
  for (size_t i = 0; i < n; ++i) {
    const Tensor& x = c.in(2 + i);
    Tensor rate = div(like(x, c.in(0)), add(mul(like(x, c.in(1)), fade), 1.0));
    Tensor g = add(c.in(2 + n + i), mul(x, decay));
    Tensor squares = add(c.in(2 + 2 * n + i), mul(g, g));
    out[n + i] = squares;
    out[i] = sub(x, div(mul(rate, g), add(sqrt(squares), epsilon)));
  }
  return out;
}

Values adam(Context& c) {
  size_t n = group_size(c, 4);
  double alpha = c.number("alpha", 0.9), beta = c.number("beta", 0.999);
  double epsilon = c.number("epsilon", 0), decay = c.number("norm_coefficient", 0);
  double after = c.number("norm_coefficient_post", 0);
  Values out(3 * n);
  for (size_t i = 0; i < n; ++i) {
    const Tensor& x = c.in(2 + i);
    Tensor g = add(c.in(2 + n + i), mul(x, decay));
    Tensor v = add(mul(c.in(2 + 2 * n + i), alpha), mul(g, 1 - alpha));
    Tensor h = add(mul(c.in(2 + 3 * n + i), beta), mul(mul(g, g), 1 - beta));
    Tensor rate = like(x, c.in(0)), step = like(x, c.in(1));
    Tensor corrected = div(mul(rate, sqrt(sub(1.0, pow(scalar(beta, x.dtype()), step)))),
                           sub(1.0, pow(scalar(alpha, x.dtype()), step)));
    rate = where(greater(step, 0.0), corrected, rate);
    out[i] = mul(sub(x, mul(rate, div(v, add(sqrt(h), epsilon)))), 1 - after);
    out[n + i] = v;
    out[2 * n + i] = h;
  }
  return out;
}

// Gradients of a value of the graph by others; the node's inputs are those it is taken at.
Values gradient(Context& c) {
  std::vector<std::string> names = c.texts("xs"), constants = c.texts("zs");
  names.insert(names.end(), constants.begin(), constants.end());
  c.require(names == c.node().inputs, "gradients at other values than the graph's own");
  const Value* y = c.scope().find(c.text("y"));
  c.require(y && y->tensor, "'y' is no tensor of the graph");
  std::vector<Tensor> wanted;
  for (size_t i = 0; i < c.texts("xs").size(); ++i) wanted.push_back(c.in(i));
  Values out;
  for (const Tensor& g : grad({y->tensor}, {ones_like(y->tensor)}, wanted)) out.emplace_back(g);
  return out;
}

constexpr RuleEntry training_table[] = {
    {"Adagrad", adagrad, false, "ai.onnx.preview.training"},
    {"Adam", adam, false, "ai.onnx.preview.training"},
    {"Gradient", gradient, false, "ai.onnx.preview.training"},
    {"Momentum", momentum, false, "ai.onnx.preview.training"},
};
}  // namespace

RuleList training_rules() {
  return training_table;
}

}  // namespace wafer::onnx
