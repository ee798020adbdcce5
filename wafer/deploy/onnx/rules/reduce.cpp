#include <algorithm>
#include <limits>
#include <numeric>

#include "wafer/deploy/onnx/rules.h"

namespace wafer::onnx {

namespace {
// The reduction of nothing, where the axes have no elements.
double identity_of(const std::string& op, DType dtype) {
  double infinity = std::numeric_limits<double>::infinity();
  if (op == "ReduceProd") return 1;
  if (op == "ReduceMax" || op == "ReduceMin") {
    bool max = op == "ReduceMax";
    if (dtype == DType::boolean) return max ? 0 : 1;
    if (is_floating(dtype)) return max ? -infinity : infinity;
    double limit = 0;
    visit(dtype, [&]<class T>(std::type_identity<T>) {
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
        limit = static_cast<double>(max ? std::numeric_limits<T>::min()
                                        : std::numeric_limits<T>::max());
    });
    return limit;
  }
  if (op == "ReduceLogSum" || op == "ReduceLogSumExp") return -infinity;
  if (op == "ReduceMean") return std::numeric_limits<double>::quiet_NaN();
  return 0;
}

Tensor reduced(const std::string& op, const Tensor& x, const Axes& axes, bool keep) {
  if (op == "ReduceSum") return reduce_sum(x, axes, keep);
  if (op == "ReduceProd") return reduce_prod(x, axes, keep);
  if (op == "ReduceMax") return reduce_max(x, axes, keep);
  if (op == "ReduceMin") return reduce_min(x, axes, keep);
  if (op == "ReduceMean") {
    if (is_floating(x.dtype())) return mean(x, axes, keep);
    return mean(cast(x, DType::f64), axes, keep);
  }
  if (op == "ReduceL1") return reduce_sum(abs(x), axes, keep);
  if (op == "ReduceSumSquare") return reduce_sum(mul(x, x), axes, keep);
  if (op == "ReduceL2") return sqrt(reduce_sum(mul(x, x), axes, keep));
  if (op == "ReduceLogSum") return log(reduce_sum(x, axes, keep));
  return logsumexp(is_floating(x.dtype()) ? x : cast(x, DType::f64), axes, keep);
}

Values reduce_rule(Context& c) {
  const Tensor& x = c.in(0);
  const std::string& op = c.node().op_type;
  bool keep = c.flag("keepdims", true);
  auto given = c.integers_from("axes", 1);
  Ints axes = given ? axes_of(c, *given, x.rank()) : Ints{};
  if (axes.empty()) {
    if (c.flag("noop_with_empty_axes")) {
      if (op == "ReduceL1" || op == "ReduceL2") return {abs(x)};
      if (op == "ReduceSumSquare") return {mul(x, x)};
      return {op == "ReduceLogSum" ? log(x) : x};
    }
    axes.resize(static_cast<size_t>(x.rank()));
    std::iota(axes.begin(), axes.end(), int64_t{0});
  }
  if (axes.empty()) return {cast(reduced(op, reshape(x, {1}), {0}, false), x.dtype())};
  bool nothing = false;
  Ints sizes;
  for (int i = 0; i < x.rank(); ++i) {
    bool gone = std::find(axes.begin(), axes.end(), i) != axes.end();
    nothing = nothing || (gone && x.size(i) == 0);
    if (!gone || keep) sizes.push_back(gone ? 1 : x.size(i));
  }
  if (nothing) return {full(Shape(sizes), identity_of(op, x.dtype()), x.dtype())};
  if (x.dtype() == DType::boolean)
    return {cast(reduced(op, cast(x, DType::u8), axes, keep), x.dtype())};
  return {cast(reduced(op, x, axes, keep), x.dtype())};
}

template <Tensor (*find)(const Tensor&, int, bool)>
Values arg_rule(Context& c) {
  Tensor x = c.in(0);
  int axis = axis_of(c, c.integer("axis", 0), x.rank());
  bool keep = c.flag("keepdims", true);
  if (!c.flag("select_last_index")) return {find(x, axis, keep)};
  Tensor last = find(flip(x, {axis}), axis, keep);
  return {sub(static_cast<double>(x.size(axis) - 1), last)};
}

// Exclusive: each element without itself, so that the first is 0.
Tensor running_sum(const Tensor& x, int axis) {
  return cast(cumsum(x, axis), x.dtype());
}

// Products of the first 1, 2, 4, ... elements, doubled until all are in.
Tensor running_product(Tensor x, int axis) {
  for (int64_t step = 1; step < x.size(axis); step *= 2) {
    Tensor head = narrow(x, axis, 0, step);
    Tensor tail = mul(narrow(x, axis, step, x.size(axis)), narrow(x, axis, 0, x.size(axis) - step));
    x = concat({head, tail}, axis);
  }
  return x;
}

template <Tensor (*run)(Tensor, int), int nothing>
Values running(Context& c) {
  Tensor x = c.in(0);
  int axis = axis_of(c, c.scalar_integer(1), x.rank());
  bool reverse = c.flag("reverse");
  if (reverse) x = flip(x, {axis});
  if (c.flag("exclusive") && x.size(axis) > 0) {
    Tensor first = full(narrow(x, axis, 0, 1).shape(), nothing, x.dtype());
    x = concat({first, narrow(x, axis, 0, x.size(axis) - 1)}, axis);
  }
  x = run(x, axis);
  return {reverse ? flip(x, {axis}) : x};
}
Tensor sums(Tensor x, int axis) {
  return running_sum(x, axis);
}

constexpr RuleEntry reduce_table[] = {
    {"ArgMax", arg_rule<argmax>},
    {"ArgMin", arg_rule<argmin>},
    {"CumProd", running<running_product, 1>},
    {"CumSum", running<sums, 0>},
    {"ReduceL1", reduce_rule},
    {"ReduceL2", reduce_rule},
    {"ReduceLogSum", reduce_rule},
    {"ReduceLogSumExp", reduce_rule},
    {"ReduceMax", reduce_rule},
    {"ReduceMean", reduce_rule},
    {"ReduceMin", reduce_rule},
    {"ReduceProd", reduce_rule},
    {"ReduceSum", reduce_rule},
    {"ReduceSumSquare", reduce_rule},
};
}  // namespace

RuleList reduce_rules() {
  return reduce_table;
}

}  // namespace wafer::onnx
