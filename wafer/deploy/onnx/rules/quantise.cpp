#include <cmath>
#include <limits>

#include "wafer/deploy/onnx/rules.h"

namespace wafer::onnx {

namespace {
// Scales or zero points so that they broadcast against x: one for all, one for each place of the
// axis, or one for each block along it.
Tensor spread(const Context& c, const Tensor& s, const Tensor& x, int64_t block) {
  if (s.elements() == 1 && block == 0) return reshape(s, Ints{});
  int axis = axis_of(c, c.integer("axis", 1), std::max(x.rank(), 1));
  if (block > 0) {
    c.require(s.rank() == x.rank(), "blocks need as many dimensions as the input");
    Ints order;
    for (int64_t i = 0; i < x.size(axis); ++i) order.push_back(i / block);
    c.require(order.empty() || order.back() < s.size(axis), "there are more blocks than scales");
    return take(s, order, axis);
  }
  c.require(s.rank() == 1 && s.size(0) == x.size(axis), "the scales do not fit the axis");
  Ints sizes(static_cast<size_t>(x.rank()), 1);
  sizes[static_cast<size_t>(axis)] = s.size(0);
  return reshape(s, sizes);
}

void limits(ElementType type, double& low, double& high) {
  bool is_signed_type = type == ElementType::i8 || type == ElementType::i16 ||
                        type == ElementType::i4 || type == ElementType::i2 ||
                        type == ElementType::i32;
  high = std::ldexp(1, bits(type) - (is_signed_type ? 1 : 0)) - 1;
  low = is_signed_type ? -high - 1 : 0;
}

Values quantize_linear(Context& c) {
  const Tensor& x = c.in(0);
  int64_t block = c.integer("block_size", 0);
  ElementType to = c.has(2) ? c.type(2) : ElementType::u8;
  if (c.integer("output_dtype", 0) != 0)
    to = element_type(c.integer("output_dtype"), "QuantizeLinear");
  DType work = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor scale = spread(c, cast(c.in(1), work), x, block);
  Tensor y = div(cast(x, work), scale);
  if (is_small_float(to)) return {cast_value(Value(y), to, c.flag("saturate", true))};
  double low = 0, high = 0;
  limits(to, low, high);
  y = round(y);
  if (c.has(2)) y = add(y, spread(c, cast(c.in(2), work), x, block));
  return {Value(cast(clamp(y, low, high), carrier(to)), to)};
}

Values dequantize_linear(Context& c) {
  const Tensor& x = c.in(0);
  int64_t block = c.integer("block_size", 0);
  DType to = c.in(1).dtype();
  if (c.integer("output_dtype", 0) != 0)
    to = carrier(element_type(c.integer("output_dtype"), "DequantizeLinear"));
  DType work = to == DType::f64 ? DType::f64 : DType::f32;
  Tensor y = x;
  if (c.has(2)) {
    // Differences of 32-bit integers may leave f32.
    Tensor zero = c.in(2);
    DType wide = is_floating(x.dtype()) ? work : DType::i64;
    y = sub(cast(x, wide), spread(c, cast(zero, wide), x, block));
  }
  y = mul(cast(y, work), spread(c, cast(c.in(1), work), x, block));
  return {cast(y, to)};
}

// To u8 by the smallest range that holds all elements and 0.
Values dynamic_quantize_linear(Context& c) {
  const Tensor& x = c.in(0);
  Tensor low = minimum(reduce_min(x), 0.0), high = maximum(reduce_max(x), 0.0);
  Tensor scale = div(sub(high, low), 255.0);
  Tensor safe = where(equal(scale, 0.0), ones_like(scale), scale);
  Tensor zero = clamp(round(div(neg(low), safe)), 0, 255);
  Tensor y = clamp(add(round(div(x, safe)), zero), 0, 255);
  return {cast(y, DType::u8), scale, cast(zero, DType::u8)};
}

constexpr RuleEntry quantise_table[] = {
    {"DequantizeLinear", dequantize_linear, true},
    {"DynamicQuantizeLinear", dynamic_quantize_linear},
    {"QuantizeLinear", quantize_linear, true},
};
}  // namespace

RuleList quantise_rules() {
  return quantise_table;
}

}  // namespace wafer::onnx
