#include "tests/op/cases.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"

namespace wafer::op_tests {

namespace {

using Unary = Tensor (*)(const Tensor&);

const std::vector<Sizes>& shapes() {
  static const std::vector<Sizes> list = {{}, {1}, {257}, {3, 5}, {2, 3, 4, 5}, {0, 4}};
  return list;
}

// Pairs of shapes that broadcast.
const std::vector<std::pair<Sizes, Sizes>>& pairs() {
  static const std::vector<std::pair<Sizes, Sizes>> list = {
      {{3, 5}, {3, 5}},          {{257}, {257}},   {{}, {}},
      {{4, 1}, {1, 3}},          {{3}, {2, 5, 3}}, {{4, 2}, {}},
      {{2, 3, 1, 2}, {3, 4, 1}}, {{0, 3}, {1, 3}}, {{}, {0}}};
  return list;
}

struct Options {
  double low = -2, high = 2;
  bool grad = true;
  double tolerance = 4;
  Fill fill = Fill::uniform;
};

void unary(std::vector<OpCase>& cases, const char* op, Unary build,
           const std::vector<DType>& dtypes, const Options& o = {}) {
  for (const Sizes& sizes : shapes()) {
    cases.push_back({.op = op,
                     .name = text(sizes),
                     .inputs = {{sizes, o.low, o.high, o.fill}},
                     .build = [build](const auto& in) { return std::vector{build(in[0])}; },
                     .dtypes = dtypes,
                     .grad = o.grad,
                     .tolerance = o.tolerance});
  }
}

void binary(std::vector<OpCase>& cases, const char* op, BinaryOp build,
            const std::vector<DType>& dtypes, const Options& left = {}, const Options& right = {}) {
  for (const auto& [a, b] : pairs()) {
    cases.push_back(
        {.op = op,
         .name = text(a) + " and " + text(b),
         .inputs = {{a, left.low, left.high, left.fill}, {b, right.low, right.high, right.fill}},
         .build = [build](const auto& in) { return std::vector{build(in[0], in[1])}; },
         .dtypes = dtypes,
         .grad = left.grad,
         .tolerance = left.tolerance});
  }
}

}  // namespace

const std::vector<std::pair<const char*, BinaryOp>>& binary_ops() {
  static const std::vector<std::pair<const char*, BinaryOp>> list = {
      {"add", add},         {"sub", sub},
      {"mul", mul},         {"div", div},
      {"pow", pow},         {"remainder", remainder},
      {"maximum", maximum}, {"minimum", minimum},
      {"equal", equal},     {"not_equal", not_equal},
      {"less", less},       {"less_equal", less_equal}};
  return list;
}

std::vector<OpCase> elementwise_cases() {
  std::vector<OpCase> c;
  unary(c, "neg", neg, numbers());
  // Away from the kink at 0.
  unary(c, "abs", abs, numbers(), {.low = 0.1, .high = 3});
  unary(c, "abs", abs, numbers(), {.low = -3, .high = -0.1});
  unary(c, "sign", sign, numbers(), {.grad = false});
  unary(c, "sign", sign, floats(), {.low = -3, .high = -0.1});
  unary(c, "exp", exp, floats());
  unary(c, "expm1", expm1, floats());
  unary(c, "log", log, floats(), {.low = 0.2, .high = 4});
  unary(c, "log1p", log1p, floats(), {.low = -0.7, .high = 4});
  unary(c, "sqrt", sqrt, floats(), {.low = 0.2, .high = 9});
  unary(c, "sin", sin, floats(), {.low = -9, .high = 9});
  unary(c, "cos", cos, floats(), {.low = -9, .high = 9});
  unary(c, "tan", tan, floats(), {.low = -1.2, .high = 1.2});
  unary(c, "asin", asin, floats(), {.low = -0.9, .high = 0.9});
  unary(c, "acos", acos, floats(), {.low = -0.9, .high = 0.9});
  unary(c, "atan", atan, floats(), {.low = -5, .high = 5});
  unary(c, "tanh", tanh, floats(), {.low = -4, .high = 4});
  unary(c, "erf", erf, floats(), {.low = -4, .high = 4});
  // Random numbers are never within 1e-6 of a step in practice: the derivative is 0.
  unary(c, "floor", floor, floats(), {.low = -5, .high = 5});
  unary(c, "ceil", ceil, floats(), {.low = -5, .high = 5});
  unary(c, "round", round, floats(), {.low = -5, .high = 5});
  unary(c, "logical_not", logical_not, only(DType::boolean));
  c.push_back({.op = "round",
               .name = "halves to even",
               .inputs = {{{41}, -10, 10, Fill::index, DType::i32}},
               .build = [](const auto& in) { return std::vector{round(in[0] * Tensor(0.5f))}; },
               .dtypes = only(DType::f32)});

  for (DType to : all_dtypes()) {
    for (const Sizes& sizes : {Sizes{300}, Sizes{3, 5}, Sizes{}, Sizes{0, 2}}) {
      // Beyond the 8-bit integers, so that conversions saturate.
      c.push_back({.op = "cast",
                   .name = std::string("to ") + std::string(name(to)) + ", " + text(sizes),
                   .inputs = {{sizes, -400, 400}},
                   .build = [to](const auto& in) { return std::vector{cast(in[0], to)}; },
                   .dtypes = all_dtypes(),
                   .grad = to == DType::f64});
    }
  }

  binary(c, "add", add, all_dtypes());
  binary(c, "sub", sub, numbers());
  binary(c, "mul", mul, all_dtypes());
  binary(c, "div", div, floats(), {}, {.low = 0.5, .high = 3});
  binary(c, "div", div, floats(), {}, {.low = -3, .high = -0.5});
  std::vector<DType> integers;
  for (DType dtype : numbers()) {
    if (!is_floating(dtype)) integers.push_back(dtype);
  }
  binary(c, "div", floor_divide, integers, {.grad = false});
  // Small whole numbers: a quotient just below a whole one rounds up to it where a backend rounds
  // it to the dtype, and does not where it floors what it has at hand.
  binary(c, "div", floor_divide, floats(),
         {.low = -9, .high = 10, .grad = false, .fill = Fill::index},
         {.low = 1, .high = 8, .fill = Fill::index});
  binary(c, "pow", pow, floats(), {.low = 0.3, .high = 2, .tolerance = 8}, {.low = -2, .high = 2});
  binary(c, "pow", pow, numbers(), {.low = 0.3, .high = 2, .grad = false, .tolerance = 8},
         {.low = 0, .high = 6, .fill = Fill::index});
  binary(c, "remainder", remainder, numbers(), {.low = 4, .high = 4.9}, {.low = 1.1, .high = 1.3});
  binary(c, "remainder", remainder, floats(), {.low = -4.9, .high = -4}, {.low = 1.1, .high = 1.3});
  binary(c, "remainder", remainder, floats(), {.low = 4, .high = 4.9}, {.low = -1.3, .high = -1.1});
  binary(c, "maximum", maximum, all_dtypes());
  binary(c, "minimum", minimum, all_dtypes());
  // Whole numbers, so that equal ones are drawn.
  Options whole{.low = -3, .high = 4, .grad = false, .fill = Fill::index};
  binary(c, "equal", equal, all_dtypes(), whole, whole);
  binary(c, "not_equal", not_equal, all_dtypes(), whole, whole);
  binary(c, "less", less, all_dtypes(), whole, whole);
  binary(c, "less_equal", less_equal, all_dtypes(), whole, whole);
  binary(c, "logical_and", logical_and, only(DType::boolean));
  binary(c, "logical_or", logical_or, only(DType::boolean));
  binary(c, "logical_xor", logical_xor, only(DType::boolean));

  for (const auto& [a, b] : pairs()) {
    c.push_back({.op = "where",
                 .name = text(a) + " and " + text(b),
                 .inputs = {{a, 0, 2, Fill::index, DType::boolean}, {b}, {a}},
                 .build = [](const auto& in) { return std::vector{where(in[0], in[1], in[2])}; },
                 .dtypes = all_dtypes()});
  }
  // One value used twice, and a chain that reads its operand at two depths. Nothing cancels: a
  // fused multiplication and addition rounds once.
  c.push_back({.op = "mul",
               .name = "of a value with itself",
               .inputs = {{{4, 7}}},
               .build = [](const auto& in) { return std::vector{in[0] * in[0] + abs(in[0])}; },
               .dtypes = numbers(),
               .magnitude = 4});
  return c;
}

}  // namespace wafer::op_tests
