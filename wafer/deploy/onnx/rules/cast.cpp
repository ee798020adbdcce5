#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"

namespace wafer::onnx {

namespace {
// |x| rounded to a small float's grid, halves to even, beyond its largest number too: the distance
// of neighbours doubles at each power of two.
Tensor round_to_grid(const Tensor& magnitude, const SmallFloat& f) {
  int least = static_cast<int>(std::log2(f.least_normal));
  int greatest = static_cast<int>(std::floor(std::log2(f.largest)));
  Tensor step = scalar(std::ldexp(1, least - f.mantissa_bits), magnitude.dtype());
  for (int e = least + 1; e <= greatest; ++e) {
    step = where(less(magnitude, std::ldexp(1, e)), step,
                 scalar(std::ldexp(1, e - f.mantissa_bits), magnitude.dtype()));
  }
  return mul(round(div(magnitude, step)), step);
}

Tensor to_small_float(Tensor x, ElementType type, bool saturate) {
  SmallFloat f = small_float(type);
  if (!is_floating(x.dtype()) || bits(x.dtype()) < 32) x = cast(x, DType::f32);
  const double infinity = std::numeric_limits<double>::infinity();
  Tensor magnitude = abs(x);
  Tensor rounded = round_to_grid(minimum(magnitude, f.largest * 4), f);
  Tensor over = less(scalar(f.largest, x.dtype()), rounded);
  double beyond = f.has_infinity ? infinity : std::numeric_limits<double>::quiet_NaN();
  if (saturate || type == ElementType::f4e2m1) beyond = f.largest;
  rounded = where(over, scalar(beyond, x.dtype()), rounded);
  Tensor y = mul(rounded, where(less(x, 0.0), scalar(-1, x.dtype()), scalar(1, x.dtype())));
  // The one type without NaN.
  if (type == ElementType::f4e2m1) y = where(is_nan(x), zeros_like(y), y);
  return cast(y, DType::f32);
}

// A power of two from 2^-127 to 2^127: the next one up or down, or the nearer.
Tensor to_exponent(const Tensor& from, const std::string& mode, bool saturate) {
  Tensor x = cast(from, DType::f64);
  Tensor y = scalar(std::ldexp(1, -127), DType::f64);
  for (int e = -126; e <= 127; ++e) {
    double threshold = std::ldexp(1, e);
    if (mode == "up") threshold = std::ldexp(1, e - 1);  // anything above the power before
    if (mode == "nearest") threshold = 1.5 * std::ldexp(1, e - 1);
    Tensor limit = scalar(threshold, DType::f64);
    Tensor reached = mode == "up" ? less(limit, x) : less_equal(limit, x);
    y = where(reached, scalar(std::ldexp(1, e), DType::f64), y);
  }
  Tensor bad = logical_or(is_nan(x), less(x, 0.0));
  if (!saturate) bad = logical_or(bad, less(scalar(std::ldexp(1, 127), DType::f64), x));
  return where(bad, scalar(std::numeric_limits<double>::quiet_NaN(), DType::f64), y);
}

// The low bits of an integer, as two's complement.
Tensor to_small_integer(const Tensor& from, ElementType type) {
  Tensor x = cast(from, DType::i32);
  bool is_signed_type = type == ElementType::i4 || type == ElementType::i2;
  double range = std::ldexp(1, bits(type)), half = is_signed_type ? range / 2 : 0;
  Tensor y = sub(remainder(add(x, half), scalar(range, DType::i32)), half);
  return cast(y, carrier(type));
}

Value from_strings(const Value& value, ElementType to) {
  std::vector<double> numbers;
  for (const std::string& text : value.strings->values) {
    char* end = nullptr;
    numbers.push_back(std::strtod(text.c_str(), &end));
    WAFER_REQUIRE(!text.empty() && *end == '\0', "Cast", "'", text, "' is no number");
  }
  return cast_value(Tensor::from_values(numbers, Shape(value.strings->dims)), to);
}

Value to_strings(Context& c, const Value& value) {
  std::vector<std::string> texts;
  for (double number : c.numbers_of(value.tensor, "input 0")) {
    char text[64];
    auto end = value.tensor.dtype() == DType::f64
                   ? std::to_chars(text, text + sizeof text, number)
                   : std::to_chars(text, text + sizeof text, static_cast<float>(number));
    texts.emplace_back(text, end.ptr);
    if (std::isnan(number)) texts.back() = "NaN";
    if (std::isinf(number)) texts.back() = number > 0 ? "INF" : "-INF";
  }
  return Value::of_strings(dims_of(value), std::move(texts));
}

Value cast_to(Context& c, ElementType to) {
  const Value& value = c.value(0);
  if (to == ElementType::string) return value.strings ? value : to_strings(c, value);
  if (value.strings) return from_strings(value, to);
  c.in(0);
  return cast_value(value, to, c.flag("saturate", true), c.text("round_mode", "up"));
}

Values cast_rule(Context& c) {
  // Version 1 spells the type as text.
  const Attribute* to = c.find("to");
  if (to && to->kind == Attribute::Kind::text) {
    for (int number = 1; number <= 26; ++number) {
      auto type = static_cast<ElementType>(number);
      if (name(type) == to->s) return {cast_to(c, type)};
    }
    c.fail("no element type '" + to->s + "'");
  }
  return {cast_to(c, element_type(c.integer("to"), "Cast"))};
}
Values cast_like(Context& c) {
  return {cast_to(c, c.type(1))};
}

// The same bits as another type of the same width; on the host.
Values bit_cast(Context& c) {
  ElementType to = element_type(c.integer("to"), "BitCast");
  const Value& x = c.value(0);
  c.require(!is_carried(to) && !is_carried(x.type) && bits(to) == bits(x.type),
            str("from ", x.type, " to ", to, ": types of different width, or below a byte"));
  auto bytes = c.walk().bytes(c.in(0), "input 0");
  if (to == ElementType::boolean)
    for (std::byte& b : bytes) b = b == std::byte{0} ? std::byte{0} : std::byte{1};
  return {Value(Tensor::from_bytes(carrier(to), c.in(0).shape(), bytes), to)};
}

constexpr RuleEntry cast_table[] = {
    {"BitCast", bit_cast},
    {"Cast", cast_rule, true},
    {"CastLike", cast_like, true},
};
}  // namespace

Value cast_value(const Value& value, ElementType to, bool saturate, const std::string& round_mode) {
  if (value.type == to) return value;
  const Tensor& x = value.tensor;
  if (to == ElementType::f8e8m0) return {to_exponent(x, round_mode, saturate), to};
  if (is_small_float(to)) return {to_small_float(x, to, saturate), to};
  if (is_carried(to)) return {to_small_integer(x, to), to};
  return {cast(x, carrier(to)), to};
}

RuleList cast_rules() {
  return cast_table;
}

}  // namespace wafer::onnx
