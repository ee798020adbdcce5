#include <cmath>

#include "wafer/deploy/onnx/rules.h"

// Tensors made of constants and sizes.
namespace wafer::onnx {

namespace {
Values constant_rule(Context& c) {
  if (c.given("value")) return {c.tensor_attribute("value")};
  if (c.given("value_float")) return {scalar(c.number("value_float"), DType::f32)};
  if (c.given("value_int")) return {Tensor(c.integer("value_int"))};
  if (c.given("value_floats")) return {constant(c.numbers("value_floats"), DType::f32)};
  if (c.given("value_ints")) return {constant(c.integers("value_ints"))};
  if (c.given("value_string")) return {Value::of_strings({}, {c.text("value_string")})};
  if (c.given("value_strings")) {
    auto texts = c.texts("value_strings");
    return {Value::of_strings({static_cast<int64_t>(texts.size())}, texts)};
  }
  c.fail("sparse constants are not supported, or no value is given");
}

Values constant_of_shape(Context& c) {
  Ints sizes = c.integers_of(0);
  int64_t count = 1;
  for (int64_t size : sizes) {
    c.require(size >= 0 && (size == 0 || count <= (int64_t{1} << 36) / size),
              "a size is too large");
    count *= size;
  }
  Value value = scalar(0, DType::f32);
  if (c.given("value")) value = c.tensor_attribute("value");
  c.require(value.tensor && value.tensor.elements() == 1, "'value' must be one number");
  return {Value(broadcast_to(reshape(value.tensor, Ints{}), Shape(sizes)), value.type)};
}

Values range(Context& c) {
  DType type = c.in(0).dtype();
  double start = c.scalar_number(0), limit = c.scalar_number(1);
  double delta = c.scalar_number(2);
  c.require(delta != 0, "a step of 0");
  double count = std::max(std::ceil((limit - start) / delta), 0.0);
  c.require(count < 1e10, "more numbers than memory holds");
  Tensor steps = arange(static_cast<int64_t>(count), DType::i64);
  DType work = is_floating(type) ? DType::f64 : DType::i64;
  return {cast(add(mul(cast(steps, work), scalar(delta, work)), scalar(start, work)), type)};
}

Values eye_like(Context& c) {
  const Tensor& x = c.in(0);
  c.require(x.rank() == 2, "expected a matrix");
  DType type = x.dtype();
  if (c.given("dtype")) type = carrier(element_type(c.integer("dtype"), "EyeLike"));
  int64_t k = c.integer("k", 0);
  Tensor diagonal = sub(iota(x.shape(), 1), iota(x.shape(), 0));
  return {cast(equal(diagonal, Tensor(k)), type)};
}

constexpr RuleEntry create_table[] = {
    {"Constant", constant_rule, true},
    {"ConstantOfShape", constant_of_shape},
    {"EyeLike", eye_like},
    {"Range", range},
};
}  // namespace

RuleList create_rules() {
  return create_table;
}

}  // namespace wafer::onnx
