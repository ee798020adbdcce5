#include "wafer/op/elementwise.h"

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/op/op.h"

namespace wafer::onnx::exporter {

namespace {
const Shape& shape_of(const Node& node) {
  return node.outputs[0].shape;
}
Refs operands(Emitter& e, const Node& node) {
  return e.operands(node.inputs, shape_of(node));
}

template <const char* name>
Refs unary(Emitter& e, const Node& node) {
  return {e.same(name, {e.in(node.inputs[0])})};
}
template <const char* name>
Refs binary(Emitter& e, const Node& node) {
  return {e.same(name, operands(e, node))};
}
// Boolean operands: sums and greatest are "or", products and least are "and".
template <const char* name, const char* of_booleans>
Refs arithmetic(Emitter& e, const Node& node) {
  Refs in = operands(e, node);
  if (in[0].dtype == DType::boolean) return {e.op(of_booleans, in, DType::boolean)};
  return {e.same(name, in)};
}
template <const char* name>
Refs compare(Emitter& e, const Node& node) {
  Refs in = operands(e, node);
  DType computed = e.computed_in(name, in[0].dtype);
  return {e.op(name, {e.cast(in[0], computed), e.cast(in[1], computed)}, DType::boolean)};
}
template <const char* name>
Refs logical(Emitter& e, const Node& node) {
  return {e.op(name, operands(e, node), DType::boolean)};
}

#define NAMED(x) constexpr char x[] = #x;
NAMED(Abs)
NAMED(Sign)
NAMED(Exp)
NAMED(Log)
NAMED(Sqrt)
NAMED(Sin)
NAMED(Cos)
NAMED(Tan)
NAMED(Asin)
NAMED(Acos)
NAMED(Atan)
NAMED(Tanh)
NAMED(Erf)
NAMED(Floor)
NAMED(Ceil)
NAMED(Round)
NAMED(Add)
NAMED(Sub)
NAMED(Mul)
NAMED(Div)
NAMED(Pow)
NAMED(Max)
NAMED(Min)
NAMED(Equal)
NAMED(Less)
NAMED(LessOrEqual)
NAMED(And)
NAMED(Or)
NAMED(Xor)
NAMED(Relu)
NAMED(Sigmoid)
#undef NAMED

Refs neg(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  if (is_signed(x.dtype) || is_floating(x.dtype)) return {e.same("Neg", {x})};
  return {e.same("Sub", {e.scalar(0, x.dtype), x})};
}

// exp(x) - 1 = tanh(x / 2) (exp(x) + 1), which keeps its digits near 0.
Refs expm1(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  DType real = e.computed_in("Tanh", x.dtype);
  x = e.cast(x, real);
  Ref half = e.op("Tanh", {e.op("Mul", {x, e.scalar(0.5, real)}, real)}, real);
  Ref sum = e.op("Add", {e.op("Exp", {x}, real), e.scalar(1, real)}, real);
  return {e.cast(e.op("Mul", {half, sum}, real), node.outputs[0].dtype)};
}

// With u = 1 + x rounded, log(1 + x) = log(u) x / (u - 1) (Kahan); x itself where u is 1.
Refs log1p(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  DType real = x.dtype;
  Ref one = e.scalar(1, real);
  Ref u = e.op("Add", {x, one}, real);
  Ref d = e.op("Sub", {u, one}, real);
  Ref log = e.op("Log", {u}, real);
  Ref scaled = e.op("Mul", {log, e.op("Div", {x, d}, real)}, real);
  Ref tiny = e.op("Equal", {d, e.scalar(0, real)}, DType::boolean);
  Ref large = e.op("Less", {one, x}, DType::boolean);  // infinity too
  Ref small = e.op("Where", {tiny, x, scaled}, real);
  return {e.op("Where", {large, log, small}, real)};
}

Refs logical_not(Emitter& e, const Node& node) {
  return {e.op("Not", {e.in(node.inputs[0])}, DType::boolean)};
}
Refs not_equal(Emitter& e, const Node& node) {
  return {e.op("Not", {e.op("Equal", operands(e, node), DType::boolean)}, DType::boolean)};
}
Refs cast(Emitter& e, const Node& node) {
  return {e.cast(e.in(node.inputs[0]), node.outputs[0].dtype)};
}

// The sign of the divisor, as Mod has it for integers; of floats there is C's fmod alone.
Refs remainder(Emitter& e, const Node& node) {
  Refs in = operands(e, node);
  DType dtype = in[0].dtype;
  if (!is_floating(dtype)) return {e.same("Mod", in)};
  Ref rest = e.op("Mod", in, dtype, {{"fmod", 1}});
  Ref zero = e.scalar(0, dtype);
  auto negative = [&](const Ref& x) { return e.op("Less", {x, zero}, DType::boolean); };
  Ref differs = e.op("Xor", {negative(rest), negative(in[1])}, DType::boolean);
  Ref exact = e.op("Equal", {rest, zero}, DType::boolean);
  Ref other = e.op("And", {differs, e.op("Not", {exact}, DType::boolean)}, DType::boolean);
  return {e.op("Where", {other, e.op("Add", {rest, in[1]}, dtype), rest}, dtype)};
}

// What a contraction's bias is added by is part of its node.
Refs add(Emitter& e, const Node& node) {
  if (e.biased(node).contraction) return find_rule(e.biased(node).contraction->op)->rule(e, node);
  return arithmetic<Add, Or>(e, node);
}

Refs sub(Emitter& e, const Node& node) {
  Refs in = operands(e, node);
  if (in[0].dtype == DType::boolean) return {e.op("Xor", in, DType::boolean)};
  return {e.same("Sub", in)};
}

Refs where(Emitter& e, const Node& node) {
  return {e.op("Where", operands(e, node), node.outputs[0].dtype)};
}

Refs silu(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  return {e.same("Mul", {x, e.same("Sigmoid", {x})})};
}

bool approximate(const Node& node) {
  for (const auto& [name, value] : node.attrs.list())
    if (name == "approximate") return std::get<bool>(value);
  return false;
}
Refs gelu(Emitter& e, const Node& node) {
  Settings settings;
  if (approximate(node)) settings = {{"approximate", "tanh"}};
  return {e.op("Gelu", {e.in(node.inputs[0])}, node.outputs[0].dtype, settings)};
}
std::string refuses_gelu(const Node& node, int64_t opset, const Used&) {
  // Runtimes have the constants of the tanh form in f32.
  if (approximate(node) && node.outputs[0].dtype == DType::f64) return "it would be inexact in f64";
  return opset >= 20 ? "" : "Gelu came with operator set 20";
}

std::string refuses_relu(const Node& node, int64_t, const Used&) {
  DType dtype = node.outputs[0].dtype;
  return is_floating(dtype) || is_signed(dtype) ? "" : "Relu takes no unsigned numbers";
}

const RuleEntry elementwise_table[] = {
    {&op::neg, "Neg", neg},
    {&op::abs, "Abs", unary<Abs>},
    {&op::sign, "Sign", unary<Sign>},
    {&op::exp, "Exp", unary<Exp>},
    {&op::expm1, "Tanh, Exp, Mul", expm1},
    {&op::log, "Log", unary<Log>},
    {&op::log1p, "Log, Div, Mul", log1p},
    {&op::sqrt, "Sqrt", unary<Sqrt>},
    {&op::sin, "Sin", unary<Sin>},
    {&op::cos, "Cos", unary<Cos>},
    {&op::tan, "Tan", unary<Tan>},
    {&op::asin, "Asin", unary<Asin>},
    {&op::acos, "Acos", unary<Acos>},
    {&op::atan, "Atan", unary<Atan>},
    {&op::tanh, "Tanh", unary<Tanh>},
    {&op::erf, "Erf", unary<Erf>},
    {&op::floor, "Floor", unary<Floor>},
    {&op::ceil, "Ceil", unary<Ceil>},
    {&op::round, "Round", unary<Round>},
    {&op::logical_not, "Not", logical_not},
    {&op::cast, "Cast", cast},
    {&op::add, "Add", add},
    {&op::sub, "Sub", sub},
    {&op::mul, "Mul", arithmetic<Mul, And>},
    {&op::div, "Div", binary<Div>},
    {&op::pow, "Pow", binary<Pow>},
    {&op::remainder, "Mod", remainder},
    {&op::maximum, "Max", arithmetic<Max, Or>},
    {&op::minimum, "Min", arithmetic<Min, And>},
    {&op::equal, "Equal", compare<Equal>},
    {&op::not_equal, "Equal, Not", not_equal},
    {&op::less, "Less", compare<Less>},
    {&op::less_equal, "LessOrEqual", compare<LessOrEqual>},
    {&op::logical_and, "And", logical<And>},
    {&op::logical_or, "Or", logical<Or>},
    {&op::logical_xor, "Xor", logical<Xor>},
    {&op::where, "Where", where},
    {&op::relu, "Relu", unary<Relu>, refuses_relu},
    {&op::sigmoid, "Sigmoid", unary<Sigmoid>},
    {&op::silu, "Sigmoid, Mul", silu},
    {&op::gelu, "Gelu", gelu, refuses_gelu},
};
}  // namespace

RuleList elementwise_rules() {
  return elementwise_table;
}

}  // namespace wafer::onnx::exporter
