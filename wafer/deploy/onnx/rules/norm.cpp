#include "wafer/op/norm.h"

#include "wafer/deploy/onnx/rules.h"
#include "wafer/op/random.h"

namespace wafer::onnx {

namespace {

Values batch_normalization(Context& c) {
  const Tensor& x = c.in(0);
  DType type = x.dtype();
  double epsilon = c.number("epsilon", 1e-5);
  Tensor scale = cast(c.in(1), type), bias = cast(c.in(2), type);
  Tensor old_mean = c.in(3), old_variance = c.in(4);
  c.require(x.rank() >= 1, "a scalar has no channels");
  bool training =
      c.version() >= 14 ? c.flag("training_mode") : c.version() < 7 && !c.flag("is_test");
  c.require(c.version() >= 9 || c.flag("spatial", true), "spatial = 0");
  if (!training) {
    if (x.rank() >= 2)
      return {batch_norm_inference(x, cast(old_mean, type), cast(old_variance, type), scale, bias,
                                   epsilon)};
    Tensor deviation = sqrt(add(cast(old_variance, type), epsilon));
    return {add(mul(div(sub(x, cast(old_mean, type)), deviation), scale), bias)};
  }
  Axes axes;
  for (int i = 0; i < x.rank(); ++i)
    if (i != 1) axes.push_back(i);
  Tensor batch_mean = mean(x, axes), batch_variance = variance(x, axes, false, 0);
  Tensor y = batch_norm_inference(x, batch_mean, batch_variance, scale, bias, epsilon);
  double momentum = c.number("momentum", 0.9);
  auto running = [&](const Tensor& old, const Tensor& now) {
    return add(mul(old, momentum), mul(cast(now, old.dtype()), 1 - momentum));
  };
  return {y, running(old_mean, batch_mean), running(old_variance, batch_variance)};
}

Values instance_normalization(Context& c) {
  return {instance_norm(c.in(0), c.in(1), c.in(2), c.number("epsilon", 1e-5))};
}

Values group_normalization(Context& c) {
  const Tensor& x = c.in(0);
  int64_t groups = c.integer("num_groups");
  c.require(x.rank() >= 2 && groups > 0 && x.size(1) % groups == 0,
            "the groups do not divide the channels");
  Tensor scale = c.in(1), bias = c.in(2);
  // Version 18 has one number for a group, 21 one for a channel.
  if (c.version() < 21) {
    Ints group;
    for (int64_t i = 0; i < x.size(1); ++i) group.push_back(i / (x.size(1) / groups));
    scale = take(scale, group, 0);
    bias = take(bias, group, 0);
  }
  return {group_norm(x, groups, scale, bias, c.number("epsilon", 1e-5))};
}

// The sizes from `axis` on.
Ints last_sizes(const Tensor& x, int axis) {
  Ints sizes = x.shape().sizes();
  return Ints(sizes.begin() + axis, sizes.end());
}

Values layer_normalization(Context& c) {
  const Tensor& x = c.in(0);
  int axis = axis_of(c, c.integer("axis", -1), x.rank());
  double epsilon = c.number("epsilon", 1e-5);
  Ints normalised = last_sizes(x, axis);
  Tensor scale = c.in(1), bias = c.optional(2), y;
  bool plain = scale.shape() == Shape(normalised) && scale.dtype() == x.dtype() &&
               (!bias || bias.shape() == scale.shape());
  if (plain) {
    y = layer_norm(x, normalised, scale, bias ? bias : zeros_like(scale), epsilon);
  } else {
    y = mul(layer_norm(x, normalised, {}, {}, epsilon), scale);
    if (bias) y = add(y, bias);
  }
  Values out = {y};
  if (!c.wants(1) && !c.wants(2)) return out;
  Axes axes;
  for (int i = axis; i < x.rank(); ++i) axes.push_back(i);
  Tensor wide = x.dtype() == DType::f64 ? x : cast(x, DType::f32);
  out.emplace_back(mean(wide, axes, true));
  out.emplace_back(reciprocal(sqrt(add(variance(wide, axes, true, 0), epsilon))));
  return out;
}

Values rms_normalization(Context& c) {
  const Tensor& x = c.in(0);
  int axis = axis_of(c, c.integer("axis", -1), x.rank());
  double epsilon = c.number("epsilon", 1e-5);
  Ints normalised = last_sizes(x, axis);
  const Tensor& scale = c.in(1);
  if (scale.shape() == Shape(normalised) && scale.dtype() == x.dtype())
    return {rms_norm(x, normalised, scale, epsilon)};
  return {cast(mul(rms_norm(x, normalised, {}, epsilon), scale), x.dtype())};
}

Values lp_normalization(Context& c) {
  const Tensor& x = c.in(0);
  int axis = axis_of(c, c.integer("axis", -1), x.rank());
  int64_t p = c.integer("p", 2);
  c.require(p == 1 || p == 2, "p must be 1 or 2");
  Tensor norm =
      p == 1 ? reduce_sum(abs(x), {axis}, true) : sqrt(reduce_sum(mul(x, x), {axis}, true));
  // A vector of zeros stays one.
  return {div(x, where(equal(norm, 0.0), ones_like(norm), norm))};
}

Values mean_variance_normalization(Context& c) {
  const Tensor& x = c.in(0);
  Axes axes = axes_of(c, c.integers("axes", {0, 2, 3}), x.rank());
  Tensor centred = sub(x, mean(x, axes, true));
  return {div(centred, add(sqrt(mean(mul(centred, centred), axes, true)), 1e-9))};
}

// Over `size` neighbouring channels: x / (bias + alpha / size sum x^2)^beta.
Values lrn(Context& c) {
  const Tensor& x = c.in(0);
  int64_t size = c.integer("size");
  c.require(x.rank() >= 2 && size > 0 && size < 10000, "size out of range, or no channels");
  Ints low(static_cast<size_t>(x.rank())), high(low);
  low[1] = (size - 1) / 2;
  high[1] = size - 1 - low[1];
  Tensor squares = pad(mul(x, x), low, high), sum;
  for (int64_t i = 0; i < size; ++i) {
    Tensor part = narrow(squares, 1, i, i + x.size(1));
    sum = i == 0 ? part : add(sum, part);
  }
  double alpha = c.number("alpha", 1e-4), beta = c.number("beta", 0.75);
  Tensor base = add(mul(sum, alpha / static_cast<double>(size)), c.number("bias", 1));
  return {div(x, pow(base, beta))};
}

// Drops nothing unless training is asked for.
Values dropout_rule(Context& c) {
  const Tensor& x = c.in(0);
  bool training = c.version() >= 12 ? c.has(2) && c.scalar_number(2) != 0
                                    : c.version() < 7 && !c.flag("is_test");
  double ratio = c.version() < 12 ? c.number("ratio", 0.5) : 0.5;
  if (c.version() >= 12 && c.has(1)) ratio = c.scalar_number(1);
  c.require(ratio >= 0 && ratio <= 1, "a ratio outside of 0 to 1");
  Tensor mask = ones(x.shape(), DType::boolean), y = x;
  if (training && ratio > 0) {
    Tensor kept = dropout(ones(x.shape(), x.dtype()), ratio);
    mask = cast(kept, DType::boolean);
    y = mul(x, kept);
  }
  return {y, c.version() < 10 ? cast(mask, x.dtype()) : mask};
}

constexpr RuleEntry norm_table[] = {
    {"BatchNormalization", batch_normalization},
    {"Dropout", dropout_rule},
    {"GroupNormalization", group_normalization},
    {"InstanceNormalization", instance_normalization},
    {"LRN", lrn},
    {"LayerNormalization", layer_normalization},
    {"LpNormalization", lp_normalization},
    {"MeanVarianceNormalization", mean_variance_normalization},
    {"RMSNormalization", rms_normalization},
};
}  // namespace

RuleList norm_rules() {
  return norm_table;
}

}  // namespace wafer::onnx
