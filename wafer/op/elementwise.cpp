#include "wafer/op/elementwise.h"

#include <cmath>
#include <limits>

#include "wafer/ir/convert.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {

using Tensors = std::vector<Tensor>;

// ---- shapes and dtypes ----

std::vector<Type> infer_same(const InferArgs& args) {
  const Type& first = args.inputs[0].type();
  for (const Tensor& input : args.inputs) {
    WAFER_CHECK(input.shape() == first.shape && input.dtype() == first.dtype,
                "element-wise inputs differ: ", first, " and ", input.type());
  }
  return {Type{first.dtype, first.shape}};
}

std::vector<Type> infer_comparison(const InferArgs& args) {
  return {Type{DType::boolean, infer_same(args)[0].shape}};
}

std::vector<Type> infer_where(const InferArgs& args) {
  WAFER_CHECK(args.inputs[0].shape() == args.inputs[1].shape() &&
                  args.inputs[1].shape() == args.inputs[2].shape() &&
                  args.inputs[1].dtype() == args.inputs[2].dtype(),
              "where: inputs differ");
  return {Type{args.inputs[1].dtype(), args.inputs[1].shape()}};
}

std::vector<Type> infer_cast(const InferArgs& args) {
  return {Type{args.attrs.as<CastAttrs>().dtype, args.inputs[0].shape()}};
}

// An op with its gradient; element-wise ops cost one operation an element unless they are
// transcendental.
using Vjp = decltype(OpDef::vjp);

template <int flops_per_element>
Cost elementwise_cost(const Node& node) {
  return {flops_per_element * static_cast<double>(node.outputs[0].elements()), bytes_touched(node)};
}

constexpr OpDef arithmetic(const char* name, Vjp vjp) {
  return {.name = name,
          .infer = infer_same,
          .vjp = vjp,
          .cost = elementwise_cost<1>,
          .elementwise = true};
}
constexpr OpDef transcendental(const char* name, Vjp vjp) {
  return {.name = name,
          .infer = infer_same,
          .vjp = vjp,
          .cost = elementwise_cost<8>,
          .elementwise = true};
}
constexpr OpDef comparison(const char* name) {
  return {
      .name = name, .infer = infer_comparison, .cost = elementwise_cost<1>, .elementwise = true};
}

// ---- builders' helpers ----

int category(DType dtype) {
  return is_floating(dtype) ? 2 : dtype == DType::boolean ? 0 : 1;
}

// The common dtype; a scalar tensor counts only by its category.
DType common_dtype(const Tensor& a, const Tensor& b) {
  if ((a.rank() == 0) != (b.rank() == 0)) {
    const Tensor& scalar = a.rank() == 0 ? a : b;
    const Tensor& other = a.rank() == 0 ? b : a;
    if (category(scalar.dtype()) <= category(other.dtype())) return other.dtype();
  }
  return promote(a.dtype(), b.dtype());
}

Tensor binary(const OpDef& def, const Tensor& a, const Tensor& b) {
  WAFER_REQUIRE(a && b, def.name, "an input is an empty tensor (default-constructed)");
  Shape shape = broadcast_shapes(a.shape(), b.shape(), def.name);
  DType dtype = common_dtype(a, b);
  return make(def, {broadcast_to(cast(a, dtype), shape), broadcast_to(cast(b, dtype), shape)});
}

Tensor logical(const OpDef& def, const Tensor& a, const Tensor& b) {
  return binary(def, cast(a, DType::boolean), cast(b, DType::boolean));
}

Tensor zero_where(const Tensor& condition, const Tensor& x) {
  return where(condition, x, scalar_like(x, 0));
}

}  // namespace

// ---- definitions ----

const OpDef neg_def =
    arithmetic("neg", [](const VjpArgs& v) -> Tensors { return {neg(v.output_gradients[0])}; });
const OpDef abs_def = arithmetic(
    "abs", [](const VjpArgs& v) -> Tensors { return {v.output_gradients[0] * sign(v.inputs[0])}; });
const OpDef sign_def =
    arithmetic("sign", [](const VjpArgs& v) -> Tensors { return {v.output_gradients[0] * 0.0}; });
const OpDef exp_def = transcendental(
    "exp", [](const VjpArgs& v) -> Tensors { return {v.output_gradients[0] * v.outputs[0]}; });
const OpDef expm1_def = transcendental("expm1", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0] * (v.outputs[0] + 1.0)};
});
const OpDef log_def = transcendental(
    "log", [](const VjpArgs& v) -> Tensors { return {v.output_gradients[0] / v.inputs[0]}; });
const OpDef log1p_def = transcendental("log1p", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0] / (v.inputs[0] + 1.0)};
});
const OpDef sqrt_def = arithmetic("sqrt", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0] * 0.5 / v.outputs[0]};
});
const OpDef sin_def = transcendental(
    "sin", [](const VjpArgs& v) -> Tensors { return {v.output_gradients[0] * cos(v.inputs[0])}; });
const OpDef cos_def = transcendental("cos", [](const VjpArgs& v) -> Tensors {
  return {neg(v.output_gradients[0] * sin(v.inputs[0]))};
});
const OpDef tan_def = transcendental("tan", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0] * (1.0 + square(v.outputs[0]))};
});
const OpDef asin_def = transcendental("asin", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0] / sqrt(1.0 - square(v.inputs[0]))};
});
const OpDef acos_def = transcendental("acos", [](const VjpArgs& v) -> Tensors {
  return {neg(v.output_gradients[0] / sqrt(1.0 - square(v.inputs[0])))};
});
const OpDef atan_def = transcendental("atan", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0] / (1.0 + square(v.inputs[0]))};
});
const OpDef tanh_def = transcendental("tanh", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0] * (1.0 - square(v.outputs[0]))};
});
const OpDef erf_def = transcendental("erf", [](const VjpArgs& v) -> Tensors {
  // d erf(x)/dx = 2/sqrt(pi) exp(-x^2)
  return {v.output_gradients[0] * exp(neg(square(v.inputs[0]))) * 1.1283791670955126};
});
const OpDef floor_def = arithmetic("floor", op::sign.vjp);
const OpDef ceil_def = arithmetic("ceil", op::sign.vjp);
const OpDef round_def = arithmetic("round", op::sign.vjp);
const OpDef logical_not_def = arithmetic("logical_not", nullptr);
const OpDef cast_def = {
    .name = "cast",
    .infer = infer_cast,
    .vjp = [](const VjpArgs& v) -> Tensors {
      if (!is_floating(v.inputs[0].dtype()) || !is_floating(v.outputs[0].dtype())) return {{}};
      return {cast(v.output_gradients[0], v.inputs[0].dtype())};
    },
    .cost = elementwise_cost<1>,
    .read_attrs = Attrs::read<CastAttrs>,
    .elementwise = true};

const OpDef add_def = arithmetic("add", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0], v.output_gradients[0]};
});
const OpDef sub_def = arithmetic("sub", [](const VjpArgs& v) -> Tensors {
  return {v.output_gradients[0], v.needed[1] ? neg(v.output_gradients[0]) : Tensor()};
});
const OpDef mul_def = arithmetic("mul", [](const VjpArgs& v) -> Tensors {
  const Tensor& g = v.output_gradients[0];
  return {v.needed[0] ? g * v.inputs[1] : Tensor(), v.needed[1] ? g * v.inputs[0] : Tensor()};
});
const OpDef div_def = arithmetic("div", [](const VjpArgs& v) -> Tensors {
  Tensor by_dividend = v.output_gradients[0] / v.inputs[1];
  return {by_dividend, v.needed[1] ? neg(by_dividend * v.outputs[0]) : Tensor()};
});
const OpDef pow_def = transcendental("pow", [](const VjpArgs& v) -> Tensors {
  const Tensor &g = v.output_gradients[0], &x = v.inputs[0], &y = v.inputs[1];
  Tensors result(2);
  if (v.needed[0]) result[0] = where(equal(y, 0.0), scalar_like(x, 0), g * y * pow(x, y - 1.0));
  if (v.needed[1]) {
    // x^y log x, and 0 where x is 0 and y is positive.
    Tensor defined = greater(x, 0.0);
    Tensor safe = where(defined, x, scalar_like(x, 1));
    Tensor undefined = where(equal(x, 0.0), scalar_like(x, 0), log(x));
    result[1] = g * v.outputs[0] * where(defined, log(safe), undefined);
  }
  return result;
});
const OpDef remainder_def = arithmetic("remainder", [](const VjpArgs& v) -> Tensors {
  const Tensor& g = v.output_gradients[0];
  return {g, v.needed[1] ? neg(g * floor(v.inputs[0] / v.inputs[1])) : Tensor()};
});

namespace {
// Of equal elements each side takes half, as PyTorch does.
template <bool is_maximum>
Tensors extremum_vjp(const VjpArgs& v) {
  const Tensor &g = v.output_gradients[0], &a = v.inputs[0], &b = v.inputs[1];
  Tensor tied = where(equal(a, b), g * 0.5, scalar_like(g, 0));
  Tensor a_wins = is_maximum ? less(b, a) : less(a, b);
  Tensor b_wins = is_maximum ? less(a, b) : less(b, a);
  return {v.needed[0] ? where(a_wins, g, tied) : Tensor(),
          v.needed[1] ? where(b_wins, g, tied) : Tensor()};
}
}  // namespace
const OpDef maximum_def = arithmetic("maximum", extremum_vjp<true>);
const OpDef minimum_def = arithmetic("minimum", extremum_vjp<false>);
const OpDef equal_def = comparison("equal");
const OpDef not_equal_def = comparison("not_equal");
const OpDef less_def = comparison("less");
const OpDef less_equal_def = comparison("less_equal");
const OpDef logical_and_def = arithmetic("logical_and", nullptr);
const OpDef logical_or_def = arithmetic("logical_or", nullptr);
const OpDef logical_xor_def = arithmetic("logical_xor", nullptr);
const OpDef where_def = {.name = "where",
                         .infer = infer_where,
                         .vjp = [](const VjpArgs& v) -> Tensors {
                           const Tensor &g = v.output_gradients[0], &condition = v.inputs[0];
                           Tensors result(3);
                           if (v.needed[1]) result[1] = zero_where(condition, g);
                           if (v.needed[2]) result[2] = where(condition, scalar_like(g, 0), g);
                           return result;
                         },
                         .cost = elementwise_cost<1>,
                         .elementwise = true};

// ---- builders ----

namespace {
Tensor arithmetic_unary(const OpDef& def, const Tensor& x) {
  require_dtype(x.dtype() != DType::boolean, def.name, x, "a number");
  return make(def, {x});
}
Tensor rounding(const OpDef& def, const Tensor& x) {
  return is_floating(x.dtype()) ? make(def, {x}) : x;
}
}  // namespace

Tensor neg(const Tensor& x) {
  return arithmetic_unary(op::neg, x);
}
Tensor abs(const Tensor& x) {
  return arithmetic_unary(op::abs, x);
}
Tensor sign(const Tensor& x) {
  return arithmetic_unary(op::sign, x);
}
Tensor exp(const Tensor& x) {
  return make(op::exp, {to_floating(x)});
}
Tensor expm1(const Tensor& x) {
  return make(op::expm1, {to_floating(x)});
}
Tensor log(const Tensor& x) {
  return make(op::log, {to_floating(x)});
}
Tensor log1p(const Tensor& x) {
  return make(op::log1p, {to_floating(x)});
}
Tensor sqrt(const Tensor& x) {
  return make(op::sqrt, {to_floating(x)});
}
Tensor rsqrt(const Tensor& x) {
  return 1.0 / sqrt(x);
}
Tensor reciprocal(const Tensor& x) {
  return 1.0 / x;
}
Tensor square(const Tensor& x) {
  return x * x;
}
Tensor sin(const Tensor& x) {
  return make(op::sin, {to_floating(x)});
}
Tensor cos(const Tensor& x) {
  return make(op::cos, {to_floating(x)});
}
Tensor tan(const Tensor& x) {
  return make(op::tan, {to_floating(x)});
}
Tensor asin(const Tensor& x) {
  return make(op::asin, {to_floating(x)});
}
Tensor acos(const Tensor& x) {
  return make(op::acos, {to_floating(x)});
}
Tensor atan(const Tensor& x) {
  return make(op::atan, {to_floating(x)});
}
Tensor tanh(const Tensor& x) {
  return make(op::tanh, {to_floating(x)});
}
Tensor erf(const Tensor& x) {
  return make(op::erf, {to_floating(x)});
}
Tensor floor(const Tensor& x) {
  return rounding(op::floor, x);
}
Tensor ceil(const Tensor& x) {
  return rounding(op::ceil, x);
}
Tensor round(const Tensor& x) {
  return rounding(op::round, x);
}
Tensor logical_not(const Tensor& x) {
  return make(op::logical_not, {cast(x, DType::boolean)});
}
Tensor is_nan(const Tensor& x) {
  return not_equal(x, x);
}
Tensor is_finite(const Tensor& x) {
  if (!is_floating(x.dtype())) return equal(x, x);
  return less(abs(x), scalar_like(x, std::numeric_limits<double>::infinity()));
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  // A scalar constant is converted at once, so that `2 * x` records no cast.
  if (auto bytes = small_constant(x.node(), 8); bytes && x.rank() == 0 && dtype <= DType::boolean) {
    return visit(x.dtype(), [&]<class From>(std::type_identity<From>) {
      auto value = *reinterpret_cast<const From*>(bytes->data());
      return visit(dtype, [&]<class To>(std::type_identity<To>) {
        using Computed =
            std::conditional_t<std::is_same_v<From, bool> || std::is_unsigned_v<From>, uint64_t,
                               std::conditional_t<std::is_integral_v<From>, int64_t, double>>;
        auto converted = convert<To>(static_cast<Computed>(value));
        return Tensor::from_bytes(dtype, Shape{}, std::as_bytes(std::span(&converted, 1)));
      });
    });
  }
  return make(op::cast, {x}, CastAttrs{dtype});
}
Tensor to_floating(const Tensor& x) {
  return is_floating(x.dtype()) ? x : cast(x, DType::f32);
}

Tensor add(const Tensor& a, const Tensor& b) {
  return binary(op::add, a, b);
}
Tensor sub(const Tensor& a, const Tensor& b) {
  return binary(op::sub, a, b);
}
Tensor mul(const Tensor& a, const Tensor& b) {
  return binary(op::mul, a, b);
}
Tensor div(const Tensor& a, const Tensor& b) {
  return binary(op::div, to_floating(a), to_floating(b));
}
Tensor floor_divide(const Tensor& a, const Tensor& b) {
  if (is_floating(common_dtype(a, b))) return floor(div(a, b));
  // Integer division truncates: one less where there is a rest and the signs differ.
  Tensor quotient = binary(op::div, a, b);
  Tensor rest = cast(remainder(a, b), DType::boolean);
  Tensor below = logical_and(rest, logical_xor(less(a, 0.0), less(b, 0.0)));
  return sub(quotient, cast(below, quotient.dtype()));
}
Tensor pow(const Tensor& a, const Tensor& b) {
  return binary(op::pow, a, b);
}
Tensor remainder(const Tensor& a, const Tensor& b) {
  return binary(op::remainder, a, b);
}
Tensor maximum(const Tensor& a, const Tensor& b) {
  return binary(op::maximum, a, b);
}
Tensor minimum(const Tensor& a, const Tensor& b) {
  return binary(op::minimum, a, b);
}
Tensor equal(const Tensor& a, const Tensor& b) {
  return binary(op::equal, a, b);
}
Tensor not_equal(const Tensor& a, const Tensor& b) {
  return binary(op::not_equal, a, b);
}
Tensor less(const Tensor& a, const Tensor& b) {
  return binary(op::less, a, b);
}
Tensor less_equal(const Tensor& a, const Tensor& b) {
  return binary(op::less_equal, a, b);
}
Tensor greater(const Tensor& a, const Tensor& b) {
  return binary(op::less, b, a);
}
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return binary(op::less_equal, b, a);
}
Tensor logical_and(const Tensor& a, const Tensor& b) {
  return logical(op::logical_and, a, b);
}
Tensor logical_or(const Tensor& a, const Tensor& b) {
  return logical(op::logical_or, a, b);
}
Tensor logical_xor(const Tensor& a, const Tensor& b) {
  return logical(op::logical_xor, a, b);
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  DType dtype = common_dtype(a, b);
  Shape shape =
      broadcast_shapes(broadcast_shapes(a.shape(), b.shape(), "where"), condition.shape(), "where");
  return make(op::where,
              {broadcast_to(cast(condition, DType::boolean), shape),
               broadcast_to(cast(a, dtype), shape), broadcast_to(cast(b, dtype), shape)});
}

Tensor clamp(const Tensor& x, double low, double high) {
  WAFER_REQUIRE(!(low > high), "clamp", "the lower limit ", low, " is above the upper ", high);
  return minimum(maximum(x, low), high);
}

Tensor scalar_like(const Tensor& x, double value) {
  bool fits = is_floating(x.dtype()) || (x.dtype() != DType::boolean && value == std::floor(value));
  return cast(Tensor::from_values<double>({value}, Shape{}), fits ? x.dtype() : DType::f32);
}

Tensor add(const Tensor& a, double b) {
  return add(a, scalar_like(a, b));
}
Tensor sub(const Tensor& a, double b) {
  return sub(a, scalar_like(a, b));
}
Tensor sub(double a, const Tensor& b) {
  return sub(scalar_like(b, a), b);
}
Tensor mul(const Tensor& a, double b) {
  return mul(a, scalar_like(a, b));
}
Tensor div(const Tensor& a, double b) {
  return div(a, scalar_like(a, b));
}
Tensor div(double a, const Tensor& b) {
  return div(scalar_like(b, a), b);
}
Tensor pow(const Tensor& a, double b) {
  return pow(a, scalar_like(a, b));
}
Tensor maximum(const Tensor& a, double b) {
  return maximum(a, scalar_like(a, b));
}
Tensor minimum(const Tensor& a, double b) {
  return minimum(a, scalar_like(a, b));
}
Tensor equal(const Tensor& a, double b) {
  return equal(a, scalar_like(a, b));
}
Tensor less(const Tensor& a, double b) {
  return less(a, scalar_like(a, b));
}
Tensor greater(const Tensor& a, double b) {
  return greater(a, scalar_like(a, b));
}

}  // namespace wafer
