#include "wafer/op/reduce.h"

#include <algorithm>

#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

std::vector<bool> reduced_axes(const Shape& shape, const std::vector<int64_t>& axes,
                               const char* op) {
  std::vector<bool> reduced(static_cast<size_t>(shape.rank()));
  for (int64_t axis : axes)
    reduced[static_cast<size_t>(normalise_axis(axis, shape.rank(), op))] = true;
  return reduced;
}

Shape reduced_shape(const Shape& shape, const std::vector<int64_t>& axes, const char* op,
                    bool keep) {
  std::vector<bool> reduced = reduced_axes(shape, axes, op);
  std::vector<Dim> dims;
  for (size_t i = 0; i < reduced.size(); ++i) {
    if (!reduced[i])
      dims.push_back(shape.dims()[i]);
    else if (keep)
      dims.emplace_back(1);
  }
  return Shape(std::move(dims));
}

std::vector<Type> infer_reduce(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  return {Type{x.dtype(),
               reduced_shape(x.shape(), args.attrs.as<ReduceAttrs>().axes, "reduce", false)}};
}

void require_elements(const Tensor& x, const std::vector<int64_t>& axes, const char* op) {
  for (int64_t axis : axes) {
    WAFER_REQUIRE(!(x.shape()[static_cast<int>(axis)] == Dim(0)), op, "dimension ", axis, " of ",
                  x.shape(), " is empty: there is no greatest or least element");
  }
}

std::vector<Type> infer_extremum(const InferArgs& args) {
  require_elements(args.inputs[0], args.attrs.as<ReduceAttrs>().axes, "reduce_max or reduce_min");
  return infer_reduce(args);
}

std::vector<Type> infer_arg(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  std::vector<int64_t> axes = {args.attrs.as<AxisAttrs>().axis};
  require_elements(x, axes, "argmax or argmin");
  return {Type{DType::i64, reduced_shape(x.shape(), axes, "argmax", false)}};
}

std::vector<Type> infer_cumsum(const InferArgs& args) {
  normalise_axis(args.attrs.as<AxisAttrs>().axis, args.inputs[0].rank(), "cumsum");
  return {Type{args.inputs[0].dtype(), args.inputs[0].shape()}};
}

Cost reduce_cost(const Node& node) {
  return {static_cast<double>(node.inputs[0].elements()), bytes_touched(node)};
}

// A reduced value with the reduced dimensions back, widened to the input's shape.
Tensor widen(const Tensor& reduced, const Tensor& x, const std::vector<int64_t>& axes) {
  return broadcast_to(reshape(reduced, reduced_shape(x.shape(), axes, "reduce", true)), x.shape());
}

// The elements that attain an extremum share its gradient, as in PyTorch.
Tensors extremum_vjp(const VjpArgs& v) {
  const auto& axes = v.node.attr<ReduceAttrs>().axes;
  const Tensor& x = v.inputs[0];
  Tensor attained = cast(equal(x, widen(v.outputs[0], x, axes)), x.dtype());
  Tensor share = v.output_gradients[0] / reduce_sum(attained, axes);
  return {axes.empty() ? v.output_gradients[0] : attained * widen(share, x, axes)};
}

constexpr OpDef reduction(const char* name, decltype(OpDef::infer) infer,
                          decltype(OpDef::vjp) vjp) {
  return {.name = name,
          .infer = infer,
          .vjp = vjp,
          .cost = reduce_cost,
          .read_attrs = Attrs::read<ReduceAttrs>};
}

std::vector<int64_t> all_or(const Tensor& x, const Axes& axes, const char* op) {
  std::vector<int64_t> result;
  if (axes.empty()) {
    for (int i = 0; i < x.rank(); ++i) result.push_back(i);
    return result;
  }
  for (int64_t axis : axes) result.push_back(normalise_axis(axis, x.rank(), op));
  std::sort(result.begin(), result.end());
  WAFER_REQUIRE(std::adjacent_find(result.begin(), result.end()) == result.end(), op,
                "an axis is given twice");
  return result;
}

Tensor reduce(const OpDef& def, const Tensor& x, const Axes& axes, bool keep_dims) {
  std::vector<int64_t> all = all_or(x, axes, def.name);
  Tensor result = all.empty() ? x : make(def, {x}, ReduceAttrs{all});
  return keep_dims ? reshape(result, reduced_shape(x.shape(), all, def.name, true)) : result;
}

Tensor widen_integers(const Tensor& x) {
  return is_floating(x.dtype()) ? x : cast(x, DType::i64);
}

double element_count(const Tensor& x, const Axes& axes, const char* op) {
  double count = 1;
  for (int64_t axis : all_or(x, axes, op))
    count *= static_cast<double>(x.size(static_cast<int>(axis)));
  return count;
}
}  // namespace

const OpDef reduce_sum_def = reduction("reduce_sum", infer_reduce, [](const VjpArgs& v) -> Tensors {
  return {widen(v.output_gradients[0], v.inputs[0], v.node.attr<ReduceAttrs>().axes)};
});
const OpDef reduce_max_def = reduction("reduce_max", infer_extremum, extremum_vjp);
const OpDef reduce_min_def = reduction("reduce_min", infer_extremum, extremum_vjp);
const OpDef reduce_prod_def =
    reduction("reduce_prod", infer_reduce, [](const VjpArgs& v) -> Tensors {
      // Without division where exactly one element is zero: there the product of the others is the
      // gradient.
      const auto& axes = v.node.attr<ReduceAttrs>().axes;
      const Tensor& x = v.inputs[0];
      Tensor is_zero = equal(x, 0.0);
      Tensor zeros = reduce_sum(cast(is_zero, x.dtype()), axes);
      Tensor others = reduce_prod(where(is_zero, scalar_like(x, 1), x), axes);
      Tensor at_zero = where(equal(zeros, 1.0), others, scalar_like(x, 0));
      Tensor elsewhere = where(equal(zeros, 0.0), others, scalar_like(x, 0));
      Tensor safe = where(is_zero, scalar_like(x, 1), x);
      Tensor by_x = where(is_zero, widen(at_zero, x, axes), widen(elsewhere, x, axes) / safe);
      return {widen(v.output_gradients[0], x, axes) * by_x};
    });
const OpDef argmax_def = {.name = "argmax",
                          .infer = infer_arg,
                          .cost = reduce_cost,
                          .read_attrs = Attrs::read<AxisAttrs>};
const OpDef argmin_def = {.name = "argmin",
                          .infer = infer_arg,
                          .cost = reduce_cost,
                          .read_attrs = Attrs::read<AxisAttrs>};
const OpDef cumsum_def = {.name = "cumsum",
                          .infer = infer_cumsum,
                          .vjp = [](const VjpArgs& v) -> Tensors {
                            int64_t axis = v.node.attr<AxisAttrs>().axis;
                            Tensor reversed = flip(v.output_gradients[0], {axis});
                            return {flip(cumsum(reversed, static_cast<int>(axis)), {axis})};
                          },
                          .cost = reduce_cost,
                          .read_attrs = Attrs::read<AxisAttrs>};

Tensor reduce_sum(const Tensor& x, const Axes& axes, bool keep_dims) {
  return reduce(op::reduce_sum, widen_integers(x), axes, keep_dims);
}
Tensor reduce_prod(const Tensor& x, const Axes& axes, bool keep_dims) {
  return reduce(op::reduce_prod, widen_integers(x), axes, keep_dims);
}
Tensor reduce_max(const Tensor& x, const Axes& axes, bool keep_dims) {
  return reduce(op::reduce_max, x, axes, keep_dims);
}
Tensor reduce_min(const Tensor& x, const Axes& axes, bool keep_dims) {
  return reduce(op::reduce_min, x, axes, keep_dims);
}
// By counting, which is defined for empty axes too.
Tensor reduce_any(const Tensor& x, const Axes& axes, bool keep_dims) {
  return not_equal(reduce_sum(cast(x, DType::boolean), axes, keep_dims), Tensor(0));
}
Tensor reduce_all(const Tensor& x, const Axes& axes, bool keep_dims) {
  return equal(reduce_sum(logical_not(x), axes, keep_dims), Tensor(0));
}
Tensor mean(const Tensor& x, const Axes& axes, bool keep_dims) {
  return reduce_sum(to_floating(x), axes, keep_dims) / element_count(x, axes, "mean");
}
Tensor variance(const Tensor& x, const Axes& axes, bool keep_dims, double correction) {
  Tensor distance = to_floating(x) - mean(x, axes, true);
  return reduce_sum(square(distance), axes, keep_dims) /
         (element_count(x, axes, "variance") - correction);
}
Tensor logsumexp(const Tensor& x, const Axes& axes, bool keep_dims) {
  Tensor values = to_floating(x);
  Tensor greatest = reduce_max(values, axes, true);
  // An infinite maximum must not turn into inf - inf.
  Tensor shift = where(is_finite(greatest), greatest, scalar_like(greatest, 0));
  Tensor result = log(reduce_sum(exp(values - shift), axes, true)) + shift;
  if (keep_dims) return result;
  return reshape(result,
                 reduced_shape(x.shape(), all_or(x, axes, "logsumexp"), "logsumexp", false));
}

namespace {
Tensor arg_extremum(const OpDef& def, const Tensor& x, int axis, bool keep_dims) {
  axis = normalise_axis(axis, x.rank(), def.name);
  Tensor index = make(def, {x}, AxisAttrs{axis});
  return keep_dims ? unsqueeze(index, axis) : index;
}
}  // namespace

Tensor argmax(const Tensor& x, int axis, bool keep_dims) {
  return arg_extremum(op::argmax, x, axis, keep_dims);
}
Tensor argmin(const Tensor& x, int axis, bool keep_dims) {
  return arg_extremum(op::argmin, x, axis, keep_dims);
}
Tensor cumsum(const Tensor& x, int axis) {
  return make(op::cumsum, {widen_integers(x)}, AxisAttrs{normalise_axis(axis, x.rank(), "cumsum")});
}

}  // namespace wafer
