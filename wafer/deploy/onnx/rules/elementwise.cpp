#include <cmath>
#include <limits>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/op/op.h"

// Arithmetic, comparison, logic and bits, element by element.
namespace wafer::onnx {

namespace {
template <Tensor (*build)(const Tensor&)>
Values unary(Context& c) {
  return {build(c.in(0))};
}

// The second operand as versions below 7 broadcast it: from `axis` of the first on.
Tensor second(const Context& c) {
  Tensor b = c.in(1);
  if (!c.given("axis") || b.rank() == 0) return b;
  int rank = c.in(0).rank(), axis = axis_of(c, c.integer("axis"), rank);
  Ints sizes = b.shape().sizes();
  c.require(axis + static_cast<int>(sizes.size()) <= rank, "'axis' leaves no room");
  sizes.resize(static_cast<size_t>(rank - axis), 1);
  return reshape(b, sizes);
}

template <Tensor (*build)(const Tensor&, const Tensor&)>
Values binary(Context& c) {
  c.require(c.in(0).dtype() == c.in(1).dtype(), str("operands of ", c.type(0), " and ", c.type(1)));
  Tensor y = build(c.in(0), second(c));
  return {y};
}

// Of integers: rounded towards zero.
Tensor divide(const Tensor& a, const Tensor& b) {
  if (is_floating(a.dtype())) return div(a, b);
  Shape shape = broadcast_shapes(a.shape(), b.shape(), "div");
  return make(op::div, {broadcast_to(a, shape), broadcast_to(b, shape)});
}

Values mod(Context& c) {
  const Tensor &a = c.in(0), &b = c.in(1);
  if (!c.flag("fmod")) {
    c.require(!is_floating(a.dtype()), "floating operands need fmod = 1");
    return {remainder(a, b)};
  }
  // The dividend's sign.
  if (!is_floating(a.dtype()) && !is_signed(a.dtype())) return {remainder(a, b)};
  return {mul(sign(a), remainder(abs(a), abs(b)))};
}

// The result has the base's type.
Values power(Context& c) {
  const Tensor &a = c.in(0), &b = second(c);
  DType type = a.dtype();
  if (is_floating(type)) {
    DType wide = type == DType::f64 || b.dtype() == DType::f64 ? DType::f64 : type;
    return {cast(pow(cast(a, wide), cast(b, wide)), type)};
  }
  Tensor y = pow(cast(a, DType::f64), cast(b, DType::f64));
  return {cast(is_floating(b.dtype()) ? y : round(y), type)};
}

template <Tensor (*build)(const Tensor&, const Tensor&)>
Values variadic(Context& c) {
  Tensor y = c.in(0);
  for (size_t i = 1; i < c.inputs(); ++i) y = build(y, c.in(i));
  return {y};
}

Values mean_of_inputs(Context& c) {
  Tensor y = c.in(0);
  for (size_t i = 1; i < c.inputs(); ++i) y = add(y, c.in(i));
  return {div(y, static_cast<double>(c.inputs()))};
}

Values clip(Context& c) {
  Tensor x = c.in(0);
  if (c.version() < 11) {
    if (c.given("min")) x = maximum(x, scalar(c.number("min"), x.dtype()));
    if (c.given("max")) x = minimum(x, scalar(c.number("max"), x.dtype()));
    return {x};
  }
  if (c.has(1)) x = maximum(x, c.in(1));
  if (c.has(2)) x = minimum(x, c.in(2));
  return {x};
}

Tensor acosh(const Tensor& x) {
  Tensor t = sub(x, 1.0);
  return log1p(add(t, sqrt(add(mul(t, 2.0), mul(t, t)))));
}
Tensor asinh(const Tensor& x) {
  Tensor a = abs(x), square = mul(x, x);
  return mul(sign(x), log1p(add(a, div(square, add(sqrt(add(square, 1.0)), 1.0)))));
}
Tensor atanh(const Tensor& x) {
  return mul(sub(log1p(x), log1p(neg(x))), 0.5);
}
Tensor cosh(const Tensor& x) {
  return mul(add(exp(x), exp(neg(x))), 0.5);
}
Tensor sinh(const Tensor& x) {
  Tensor e = expm1(x);
  return mul(add(e, div(e, add(e, 1.0))), 0.5);
}

Values is_inf(Context& c) {
  const Tensor& x = c.in(0);
  double infinity = std::numeric_limits<double>::infinity();
  Tensor positive = equal(x, infinity), negative = equal(x, -infinity);
  bool up = c.flag("detect_positive", true), down = c.flag("detect_negative", true);
  if (up && down) return {logical_or(positive, negative)};
  if (up) return {positive};
  if (down) return {negative};
  return {zeros(x.shape(), DType::boolean)};
}

// Of tensors of strings on the host: an element for each pair.
Values equal_rule(Context& c) {
  if (!c.value(0).strings) return binary<equal>(c);
  std::vector<bool> same;
  Shape shape = visit_broadcast(
      c, c.strings(0), c.strings(1),
      [&](const std::string& left, const std::string& right) { same.push_back(left == right); });
  return {Tensor::from_values(same, shape)};
}

Values where_rule(Context& c) {
  return {where(c.in(0), c.in(1), c.in(2))};
}

// ---- bits, by arithmetic ----

DType unsigned_of(DType dtype) {
  switch (bits(dtype)) {
    case 8: return DType::u8;
    case 16: return DType::u16;
    case 32: return DType::u32;
    default: return DType::u64;
  }
}

Tensor power_of_two(int exponent, DType dtype) {
  return Tensor(cast(Tensor(static_cast<int64_t>(uint64_t{1} << exponent)), dtype));
}

// Bit by bit: the sum of the bits that both have.
Tensor bits_and(const Tensor& a, const Tensor& b) {
  DType type = unsigned_of(a.dtype());
  Tensor x = cast(a, type), y = cast(b, type), sum;
  Tensor two = power_of_two(1, type);
  for (int bit = 0; bit < bits(type); ++bit) {
    Tensor place = power_of_two(bit, type);
    Tensor both = mul(remainder(divide(x, place), two), remainder(divide(y, place), two));
    Tensor term = mul(both, place);
    sum = bit == 0 ? term : add(sum, term);
  }
  return cast(sum, a.dtype());
}
Tensor bits_or(const Tensor& a, const Tensor& b) {
  return sub(add(a, b), bits_and(a, b));
}
Tensor bits_xor(const Tensor& a, const Tensor& b) {
  Tensor both = bits_and(a, b);
  return sub(sub(add(a, b), both), both);
}
Tensor bits_not(const Tensor& x) {
  // -1 - x; an unsigned type wraps -1 to its largest number.
  return sub(cast(Tensor(int64_t{-1}), x.dtype()), x);
}

Values bit_shift(Context& c) {
  Tensor x = c.in(0), count = cast(c.in(1), DType::i64);
  int width = bits(x.dtype());
  std::vector<uint64_t> powers;
  for (int i = 0; i < width; ++i) powers.push_back(uint64_t{1} << i);
  Tensor table = cast(Tensor::from_values(powers, Shape{width}), x.dtype());
  // Of a shift by the whole width or more nothing is left.
  Tensor inside = less(count, static_cast<double>(width));
  Tensor factor = gather(table, where(inside, count, cast(Tensor(0), DType::i64)));
  std::string direction = c.text("direction");
  c.require(direction == "LEFT" || direction == "RIGHT", "direction '" + direction + "'");
  Tensor shifted = direction == "LEFT" ? mul(x, factor) : divide(x, factor);
  return {where(inside, shifted, zeros_like(shifted))};
}

constexpr RuleEntry elementwise_table[] = {
    {"Abs", unary<abs>},
    {"Acos", unary<acos>},
    {"Acosh", unary<acosh>},
    {"Add", binary<add>},
    {"And", binary<logical_and>},
    {"Asin", unary<asin>},
    {"Asinh", unary<asinh>},
    {"Atan", unary<atan>},
    {"Atanh", unary<atanh>},
    {"BitShift", bit_shift},
    {"BitwiseAnd", binary<bits_and>},
    {"BitwiseNot", unary<bits_not>},
    {"BitwiseOr", binary<bits_or>},
    {"BitwiseXor", binary<bits_xor>},
    {"Ceil", unary<ceil>},
    {"Clip", clip},
    {"Cos", unary<cos>},
    {"Cosh", unary<cosh>},
    {"Div", binary<divide>},
    {"Equal", equal_rule},
    {"Erf", unary<erf>},
    {"Exp", unary<exp>},
    {"Floor", unary<floor>},
    {"Greater", binary<greater>},
    {"GreaterOrEqual", binary<greater_equal>},
    {"IsInf", is_inf},
    {"IsNaN", unary<is_nan>},
    {"Less", binary<less>},
    {"LessOrEqual", binary<less_equal>},
    {"Log", unary<log>},
    {"Max", variadic<maximum>},
    {"Mean", mean_of_inputs},
    {"Min", variadic<minimum>},
    {"Mod", mod},
    {"Mul", binary<mul>},
    {"Neg", unary<neg>},
    {"Not", unary<logical_not>},
    {"Or", binary<logical_or>},
    {"Pow", power},
    {"Reciprocal", unary<reciprocal>},
    {"Round", unary<round>},
    {"Sign", unary<sign>},
    {"Sin", unary<sin>},
    {"Sinh", unary<sinh>},
    {"Sqrt", unary<sqrt>},
    {"Sub", binary<sub>},
    {"Sum", variadic<add>},
    {"Tan", unary<tan>},
    {"Tanh", unary<tanh>},
    {"Where", where_rule},
    {"Xor", binary<logical_xor>},
};
}  // namespace

RuleList elementwise_rules() {
  return elementwise_table;
}

}  // namespace wafer::onnx
