#include "wafer/op/composite.h"

#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

Tensor as_real(const Tensor& x) {
  return is_floating(x.dtype()) ? x : cast(x, DType::f32);
}

Tensor element_count(const Tensor& x, const Axes& axes) {
  std::vector<Dim> dims;
  if (axes.empty()) dims = x.shape().dims();
  for (int64_t axis : axes) dims.push_back(x.shape()[static_cast<int>(axis)]);
  Shape counted(std::move(dims));
  if (counted.is_static()) return scalar_like(x, static_cast<double>(counted.elements()));
  return cast(reduce_sum(ones(counted, DType::i64)), x.dtype());
}

Tensor mean_over(const Tensor& x, const Axes& axes, bool keep_dims) {
  return reduce_sum(x, axes, keep_dims) / element_count(x, axes);
}

Tensor along_channels(const Tensor& v, const Tensor& x) {
  if (x.rank() <= 1) return v;
  std::vector<Dim> dims(static_cast<size_t>(x.rank()), Dim(1));
  dims[1] = v.shape()[0];
  return reshape(v, Shape(std::move(dims)));
}

Tensor append_ones(const Tensor& v, int count) {
  std::vector<Dim> dims = v.shape().dims();
  dims.insert(dims.end(), static_cast<size_t>(count), Dim(1));
  return reshape(v, Shape(std::move(dims)));
}

Axes axes_from(int first, const Tensor& x) {
  Axes axes;
  for (int axis = first; axis < x.rank(); ++axis) axes.push_back(axis);
  return axes;
}

std::string shapes_text(const std::vector<std::pair<const char*, Tensor>>& tensors) {
  std::string text;
  for (const auto& [name, tensor] : tensors) {
    if (tensor) text += str(text.empty() ? "" : ", ", name, " ", tensor.shape());
  }
  return text;
}

}  // namespace wafer
