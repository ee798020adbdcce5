#pragma once
#include <optional>
#include <tuple>
#include <vector>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Reductions over the given axes (none given: all of them), which vanish unless keep_dims.
namespace wafer {

using Axes = std::vector<int64_t>;

// Sums and products of integers and booleans are i64, as in PyTorch; of f16 and bf16 they
// accumulate in f32.
Tensor reduce_sum(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);
Tensor reduce_prod(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);
// NaN if any element is; an axis of size 0 is an error.
Tensor reduce_max(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);
Tensor reduce_min(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);
Tensor reduce_any(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);
Tensor reduce_all(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);
Tensor mean(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);
// Mean squared distance from the mean, divided by n - correction (PyTorch's default is 1).
Tensor variance(const Tensor& x, const Axes& axes = {}, bool keep_dims = false,
                double correction = 1);
// log(sum(exp(x))) without overflow.
Tensor logsumexp(const Tensor& x, const Axes& axes = {}, bool keep_dims = false);
// Index (i64) of the first greatest or least element along one axis.
Tensor argmax(const Tensor& x, int axis, bool keep_dims = false);
Tensor argmin(const Tensor& x, int axis, bool keep_dims = false);
// Running sum along one axis.
Tensor cumsum(const Tensor& x, int axis);

inline Tensor sum(const Tensor& x, const Axes& axes = {}, bool keep_dims = false) {
  return reduce_sum(x, axes, keep_dims);
}

struct ReduceAttrs {
  std::vector<int64_t> axes;  // sorted, without repeats
  static constexpr auto fields() { return std::make_tuple(Field{"axes", &ReduceAttrs::axes}); }
};

}  // namespace wafer
