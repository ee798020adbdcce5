#include "wafer/op/elementwise.h"

#include "wafer/backend/reference/array.h"

namespace wafer::reference {

namespace {

// y = fn(x) for each element, computed in the input's type.
template <class Fn>
Step unary(const Node& node, Fn fn) {
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  return visit_computed(from.dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> x(from);
    Writer<C> y(to);
    return [x, y, fn](const StepArgs& args) {
      for_each(y.sizes, [&](const Coordinates& at) {
        y.set(args.out[0], at, static_cast<C>(fn(x.get(args.in[0], at))));
      });
    };
  });
}

// y = fn(x) of floating numbers.
Step real(const Node& node, double (*fn)(double)) {
  WAFER_CHECK(is_floating(node.outputs[0].dtype), node.op->name, " of ", node.outputs[0]);
  Reader<double> x(node.inputs[0].type());
  Writer<double> y(node.outputs[0]);
  return [x, y, fn](const StepArgs& args) {
    for_each(y.sizes,
             [&](const Coordinates& at) { y.set(args.out[0], at, fn(x.get(args.in[0], at))); });
  };
}

// y = fn(a, b), computed in the inputs' type; a result of bool is stored as 0 or 1.
template <class Fn>
Step binary(const Node& node, Fn fn) {
  const Type& from = node.inputs[0].type();
  return visit_computed(from.dtype, [&]<class C>(std::type_identity<C>) -> Step {
    using Result = std::conditional_t<std::is_same_v<decltype(fn(C{}, C{})), bool>, uint64_t, C>;
    Reader<C> a(from), b(node.inputs[1].type());
    Writer<Result> y(node.outputs[0]);
    return [a, b, y, fn](const StepArgs& args) {
      for_each(y.sizes, [&](const Coordinates& at) {
        C left = a.get(args.in[0], at), right = b.get(args.in[1], at);
        y.set(args.out[0], at, static_cast<Result>(fn(left, right)));
      });
    };
  });
}

template <class C>
C divide(C a, C b) {
  if constexpr (std::is_same_v<C, double>) {
    return a / b;
  } else {
    if (b == 0) return 0;
    if (std::is_signed_v<C> && b == static_cast<C>(-1)) return minus(C{0}, a);
    return a / b;
  }
}

// a - b floor(a / b): the result has b's sign.
template <class C>
C modulo(C a, C b) {
  C rest;
  if constexpr (std::is_same_v<C, double>) {
    rest = std::fmod(a, b);
  } else {
    if (b == 0 || (std::is_signed_v<C> && b == static_cast<C>(-1))) return 0;
    rest = a % b;
  }
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

template <class C>
C power(C base, C exponent) {
  if constexpr (std::is_same_v<C, double>) {
    return std::pow(base, exponent);
  } else {
    if (exponent < C{0}) {  // 1 / base^-exponent, truncated
      if (base == C{1}) return 1;
      if (base == static_cast<C>(-1)) return exponent % 2 ? base : C{1};
      return 0;
    }
    C result = 1;
    for (auto left = static_cast<uint64_t>(exponent); left > 0; left >>= 1) {
      if (left & 1u) result = times(result, base);
      base = times(base, base);
    }
    return result;
  }
}

}  // namespace

WAFER_KERNEL(neg) {
  return unary(node, [](auto x) {
    if constexpr (std::is_same_v<decltype(x), double>)
      return -x;
    else
      return minus(decltype(x){0}, x);
  });
}
WAFER_KERNEL(abs) {
  return unary(node, [](auto x) {
    if constexpr (std::is_same_v<decltype(x), double>)
      return std::abs(x);
    else
      return x < 0 ? minus(decltype(x){0}, x) : x;
  });
}
// 0 for NaN, as PyTorch gives.
WAFER_KERNEL(sign) {
  return unary(node, [](auto x) { return static_cast<decltype(x)>((x > 0) - (x < 0)); });
}
WAFER_KERNEL(exp) {
  return real(node, std::exp);
}
WAFER_KERNEL(expm1) {
  return real(node, std::expm1);
}
WAFER_KERNEL(log) {
  return real(node, std::log);
}
WAFER_KERNEL(log1p) {
  return real(node, std::log1p);
}
WAFER_KERNEL(sqrt) {
  return real(node, std::sqrt);
}
WAFER_KERNEL(sin) {
  return real(node, std::sin);
}
WAFER_KERNEL(cos) {
  return real(node, std::cos);
}
WAFER_KERNEL(tan) {
  return real(node, std::tan);
}
WAFER_KERNEL(asin) {
  return real(node, std::asin);
}
WAFER_KERNEL(acos) {
  return real(node, std::acos);
}
WAFER_KERNEL(atan) {
  return real(node, std::atan);
}
WAFER_KERNEL(tanh) {
  return real(node, std::tanh);
}
WAFER_KERNEL(erf) {
  return real(node, std::erf);
}
WAFER_KERNEL(floor) {
  return real(node, std::floor);
}
WAFER_KERNEL(ceil) {
  return real(node, std::ceil);
}
// Halves to even: the rounding mode that a program starts with.
WAFER_KERNEL(round) {
  return real(node, std::nearbyint);
}
WAFER_KERNEL(logical_not) {
  return unary(node, [](auto x) { return x == 0; });
}

WAFER_KERNEL(cast) {
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  return visit_computed(from.dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> x(from);
    Writer<C> y(to);  // converts
    return [x, y](const StepArgs& args) {
      for_each(y.sizes,
               [&](const Coordinates& at) { y.set(args.out[0], at, x.get(args.in[0], at)); });
    };
  });
}

WAFER_KERNEL(add) {
  return binary(node, [](auto a, auto b) { return plus(a, b); });
}
WAFER_KERNEL(sub) {
  return binary(node, [](auto a, auto b) { return minus(a, b); });
}
WAFER_KERNEL(mul) {
  return binary(node, [](auto a, auto b) { return times(a, b); });
}
// Of integers: truncated, and 0 where the divisor is 0.
WAFER_KERNEL(div) {
  return binary(node, [](auto a, auto b) { return divide(a, b); });
}
WAFER_KERNEL(pow) {
  return binary(node, [](auto a, auto b) { return power(a, b); });
}
WAFER_KERNEL(remainder) {
  return binary(node, [](auto a, auto b) { return modulo(a, b); });
}
WAFER_KERNEL(maximum) {
  return binary(node, [](auto a, auto b) { return is_nan(a) || a > b ? a : b; });
}
WAFER_KERNEL(minimum) {
  return binary(node, [](auto a, auto b) { return is_nan(a) || a < b ? a : b; });
}
WAFER_KERNEL(equal) {
  return binary(node, [](auto a, auto b) { return a == b; });
}
WAFER_KERNEL(not_equal) {
  return binary(node, [](auto a, auto b) { return a != b; });
}
WAFER_KERNEL(less) {
  return binary(node, [](auto a, auto b) { return a < b; });
}
WAFER_KERNEL(less_equal) {
  return binary(node, [](auto a, auto b) { return a <= b; });
}
WAFER_KERNEL(logical_and) {
  return binary(node, [](auto a, auto b) { return a != 0 && b != 0; });
}
WAFER_KERNEL(logical_or) {
  return binary(node, [](auto a, auto b) { return a != 0 || b != 0; });
}
WAFER_KERNEL(logical_xor) {
  return binary(node, [](auto a, auto b) { return (a != 0) != (b != 0); });
}

WAFER_KERNEL(where) {
  Reader<uint64_t> condition(node.inputs[0].type());
  Extent a(node.inputs[1].type()), b(node.inputs[2].type()), y(node.outputs[0]);
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    for_each(y.sizes, [&](const Coordinates& at) {
      if (condition.get(args.in[0], at))
        mover.move(args.in[1], a.offset(at), args.out[0], y.offset(at));
      else
        mover.move(args.in[2], b.offset(at), args.out[0], y.offset(at));
    });
  };
}

}  // namespace wafer::reference
