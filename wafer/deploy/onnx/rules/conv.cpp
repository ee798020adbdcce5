#include "wafer/op/conv.h"

#include <algorithm>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/window.h"
#include "wafer/op/activation.h"

namespace wafer::onnx {

Ints spatial_sizes(const Shape& shape) {
  Ints sizes;
  for (int d = 2; d < shape.rank(); ++d) sizes.push_back(shape.size(d));
  return sizes;
}

Window read_window(const Context& c, const Ints& sizes, Ints kernel) {
  Window w;
  size_t dims = sizes.size();
  w.kernel = c.given("kernel_shape") ? c.integers("kernel_shape") : std::move(kernel);
  w.stride = c.integers("strides", Ints(dims, 1));
  w.dilation = c.integers("dilations", Ints(dims, 1));
  Ints pads = c.integers("pads", Ints(2 * dims, 0));
  c.require(w.kernel.size() == dims && w.stride.size() == dims && w.dilation.size() == dims &&
                pads.size() == 2 * dims,
            str("kernel_shape, strides, dilations or pads are not of ", dims, " dimensions"));
  for (size_t i = 0; i < dims; ++i) {
    c.require(w.kernel[i] > 0 && w.stride[i] > 0 && w.dilation[i] > 0 &&
                  w.kernel[i] <= int64_t{1} << 31 && w.dilation[i] <= int64_t{1} << 31,
              "kernel, stride and dilation must be positive, and not huge");
    c.require(std::abs(pads[i]) < int64_t{1} << 40 && std::abs(pads[i + dims]) < int64_t{1} << 40,
              "padding is too large");
  }
  w.low.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(dims));
  w.high.assign(pads.begin() + static_cast<std::ptrdiff_t>(dims), pads.end());
  std::string automatic = c.text("auto_pad", "NOTSET");
  if (automatic == "NOTSET") return w;
  c.require(automatic == "VALID" || automatic == "SAME_UPPER" || automatic == "SAME_LOWER",
            "auto_pad '" + automatic + "'");
  for (size_t i = 0; i < dims; ++i) {
    int64_t outputs = (sizes[i] + w.stride[i] - 1) / w.stride[i];
    int64_t total = std::max<int64_t>((outputs - 1) * w.stride[i] + w.extent(i) - sizes[i], 0);
    if (automatic == "VALID") total = 0;
    w.low[i] = automatic == "SAME_LOWER" ? total - total / 2 : total / 2;
    w.high[i] = total - w.low[i];
  }
  return w;
}

namespace {
// Padding that cuts off is a step of its own.
Tensor cut(const Tensor& x, Window& w) {
  Ints low = {0, 0}, high = {0, 0};
  bool any = false;
  for (size_t i = 0; i < w.dims(); ++i) {
    any = any || w.low[i] < 0 || w.high[i] < 0;
    low.push_back(std::min<int64_t>(w.low[i], 0));
    high.push_back(std::min<int64_t>(w.high[i], 0));
    w.low[i] = std::max<int64_t>(w.low[i], 0);
    w.high[i] = std::max<int64_t>(w.high[i], 0);
  }
  return any ? pad(x, low, high) : x;
}

Tensor convolve(const Context& c, Tensor x, const Tensor& weight, const Tensor& bias) {
  c.require(x.rank() >= 3 && x.rank() <= 5 && weight.rank() == x.rank(),
            str("input ", x.shape(), ", weight ", weight.shape(),
                "; expected one to three spatial dimensions"));
  Window w = read_window(c, spatial_sizes(x.shape()), spatial_sizes(weight.shape()));
  c.require(w.kernel == spatial_sizes(weight.shape()), "kernel_shape is not the weight's");
  x = cut(x, w);
  return conv(x, weight, bias,
              {.stride = w.stride,
               .padding = w.low,
               .dilation = w.dilation,
               .groups = c.integer("group", 1),
               .padding_high = w.high});
}

Values conv_rule(Context& c) {
  return {convolve(c, c.in(0), c.in(1), c.optional(2))};
}

// Of integers less their zero points; sums of 8-bit products are exact in f64.
Tensor without_zero(const Tensor& x, const Tensor& zero, int axis) {
  Tensor y = cast(x, DType::f64);
  if (!zero) return y;
  Tensor z = cast(zero, DType::f64);
  if (z.elements() == 1) return sub(y, reshape(z, Ints{}));
  Ints sizes(static_cast<size_t>(x.rank()), 1);
  sizes[static_cast<size_t>(axis)] = z.elements();
  return sub(y, reshape(z, sizes));
}

Values conv_integer(Context& c) {
  Tensor x = without_zero(c.in(0), c.optional(2), 1);
  Tensor weight = without_zero(c.in(1), c.optional(3), 0);
  return {cast(round(convolve(c, x, weight, {})), DType::i32)};
}

// x, scale, zero; weight, scale, zero; output scale, zero; bias (i32, of both scales' product).
Values qlinear_conv(Context& c) {
  Tensor x = without_zero(c.in(0), c.in(2), 1);
  Tensor weight = without_zero(c.in(3), c.in(5), 0);
  Tensor bias = c.has(8) ? cast(c.in(8), DType::f64) : Tensor();
  Tensor sums = convolve(c, x, weight, bias);
  Tensor scale =
      div(mul(cast(c.in(1), DType::f64), cast(c.in(4), DType::f64)), cast(c.in(6), DType::f64));
  if (scale.elements() > 1) {
    Ints sizes(static_cast<size_t>(sums.rank()), 1);
    sizes[1] = scale.elements();
    scale = reshape(scale, sizes);
  } else {
    scale = reshape(scale, Ints{});
  }
  const Tensor& zero = c.in(7);
  Tensor y = add(round(mul(sums, scale)), reshape(cast(zero, DType::f64), Ints{}));
  bool is_signed_type = is_signed(zero.dtype());
  return {cast(clamp(y, is_signed_type ? -128 : 0, is_signed_type ? 127 : 255), zero.dtype())};
}

// y[o] collects x[i] w[k] where o = i stride + k dilation - padding.
Values conv_transpose_rule(Context& c) {
  const Tensor &x = c.in(0), &weight = c.in(1);
  c.require(x.rank() >= 3 && x.rank() <= 5 && weight.rank() == x.rank(),
            "expected one to three spatial dimensions");
  Ints sizes = spatial_sizes(x.shape());
  size_t dims = sizes.size();
  Window w;
  w.kernel = spatial_sizes(weight.shape());
  w.stride = c.integers("strides", Ints(dims, 1));
  w.dilation = c.integers("dilations", Ints(dims, 1));
  Ints extra = c.integers("output_padding", Ints(dims, 0));
  Ints pads = c.integers("pads", Ints(2 * dims, 0)), wanted = c.integers("output_shape");
  if (wanted.size() == dims + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  c.require(w.stride.size() == dims && w.dilation.size() == dims && extra.size() == dims &&
                pads.size() == 2 * dims && (wanted.empty() || wanted.size() == dims),
            "attributes of the wrong length");
  std::string automatic = c.text("auto_pad", "NOTSET");
  int64_t groups = c.integer("group", 1);
  Shape full = x.shape();
  full.set(1, weight.size(1) * groups);
  Ints low = {0, 0}, high = {0, 0};
  for (size_t i = 0; i < dims; ++i) {
    c.require(w.stride[i] > 0 && w.dilation[i] > 0 && w.stride[i] < int64_t{1} << 31 &&
                  w.dilation[i] < int64_t{1} << 31,
              "strides and dilations must be positive");
    int64_t size = w.stride[i] * (sizes[i] - 1) + w.extent(i);
    full.set(static_cast<int>(i) + 2, size);
    int64_t before = pads[i], after = pads[i + dims];
    if (!wanted.empty() || automatic.starts_with("SAME")) {
      int64_t target = wanted.empty() ? sizes[i] * w.stride[i] : wanted[i];
      int64_t total = size + extra[i] - target;
      before = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      // What is not to be cut off is as in pads where those are given.
      if (automatic == "NOTSET") before = total / 2;
      after = total - before;
    }
    low.push_back(-before);
    high.push_back(extra[i] - after);
  }
  ConvAttrs attrs{w.stride, Ints(dims, 0), Ints(dims, 0), w.dilation, groups};
  bool inside = true;
  for (size_t i = 2; i < low.size(); ++i) inside = inside && low[i] <= 0 && high[i] <= 0;
  Tensor y;
  if (inside) {
    // Padding of the convolution whose gradient this is.
    for (size_t i = 0; i < dims; ++i) {
      attrs.padding_low[i] = -low[i + 2];
      attrs.padding_high[i] = -high[i + 2];
      auto d = static_cast<int>(i) + 2;
      full.set(d, full.size(d) + low[i + 2] + high[i + 2]);
      c.require(full.size(d) > 0, "nothing is left of the output");
    }
    y = conv_input_gradient(x, weight, full, attrs);
  } else {
    y = pad(conv_input_gradient(x, weight, full, attrs), low, high);
  }
  if (!c.has(2)) return {y};
  Ints one(static_cast<size_t>(y.rank()), 1);
  one[1] = y.size(1);
  return {add(y, reshape(c.in(2), one))};
}

// A depthwise convolution that sees earlier elements alone; the last ones are the state.
Values causal_conv(Context& c) {
  const Tensor &x = c.in(0), &weight = c.in(1);
  c.require(x.rank() == 3 && weight.rank() == 3, "expected [batch, channels, length]");
  int64_t before = weight.size(2) - 1;
  Tensor past = c.has(3) ? c.in(3) : zeros(Shape{x.size(0), x.size(1), before}, x.dtype());
  Tensor whole = before > 0 ? concat({past, x}, 2) : x;
  Tensor y = conv(whole, weight, c.optional(2), {.groups = x.size(1)});
  std::string activation = c.text("activation", "none");
  c.require(activation == "none" || activation == "silu" || activation == "swish",
            "activation '" + activation + "'");
  int64_t length = whole.size(2);
  return {activation == "none" ? y : silu(y), narrow(whole, 2, length - before, length)};
}

constexpr RuleEntry conv_table[] = {
    {"CausalConvWithState", causal_conv}, {"Conv", conv_rule},
    {"ConvInteger", conv_integer},        {"ConvTranspose", conv_transpose_rule},
    {"QLinearConv", qlinear_conv},
};
}  // namespace

RuleList conv_rules() {
  return conv_table;
}

}  // namespace wafer::onnx
