#pragma once
#include <tuple>
#include <vector>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Ops that move elements without computing on them.
namespace wafer {

// Same elements in row-major order under another shape. One dimension may be -1: what is left.
Tensor reshape(const Tensor& x, const Shape& shape);
Tensor reshape(const Tensor& x, const std::vector<int64_t>& sizes);
// Dimensions start..end become one.
Tensor flatten(const Tensor& x, int start = 0, int end = -1);
Tensor squeeze(const Tensor& x, int axis);
Tensor unsqueeze(const Tensor& x, int axis);
// Output dimension i is input dimension permutation[i] (PyTorch's permute).
Tensor transpose(const Tensor& x, const std::vector<int64_t>& permutation);
// Exchanges two dimensions.
Tensor swap_axes(const Tensor& x, int a, int b);
// NumPy's broadcasting to `shape`.
Tensor broadcast_to(const Tensor& x, const Shape& shape);
// Elements start, start+step, ... below end of each dimension; step > 0.
Tensor slice(const Tensor& x, const std::vector<int64_t>& start, const std::vector<int64_t>& end,
             const std::vector<int64_t>& step = {});
// Elements [start, end) of one dimension; negative and too large bounds as in Python.
Tensor narrow(const Tensor& x, int axis, int64_t start, int64_t end, int64_t step = 1);
// `interior` zeros between elements, then `low` before and `high` after, filled with value (a
// number of x's dtype). low and high may be negative: that many elements are cut off.
Tensor pad(const Tensor& x, const std::vector<int64_t>& low, const std::vector<int64_t>& high,
           double value = 0, const std::vector<int64_t>& interior = {});
Tensor flip(const Tensor& x, const std::vector<int64_t>& axes);
Tensor concat(const std::vector<Tensor>& parts, int axis);
Tensor stack(const std::vector<Tensor>& parts, int axis = 0);
// Parts of the given sizes along the axis.
std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int axis);
// `parts` equal parts along the axis.
std::vector<Tensor> chunk(const Tensor& x, int64_t parts, int axis);
// The block of `sizes` that begins at `start` (i64 [rank], clamped so that the block fits).
Tensor dynamic_slice(const Tensor& x, const Tensor& start, const std::vector<int64_t>& sizes);
// x with the block at `start` (i64 [rank], clamped) replaced by `update`.
Tensor dynamic_update_slice(const Tensor& x, const Tensor& update, const Tensor& start);

struct ShapeAttrs {  // reshape, broadcast_to
  Shape shape;
  static constexpr auto fields() { return std::make_tuple(Field{"shape", &ShapeAttrs::shape}); }
};
struct TransposeAttrs {
  std::vector<int64_t> permutation;
  static constexpr auto fields() {
    return std::make_tuple(Field{"permutation", &TransposeAttrs::permutation});
  }
};
struct SliceAttrs {
  std::vector<int64_t> start, end, step;
  static constexpr auto fields() {
    return std::make_tuple(Field{"start", &SliceAttrs::start}, Field{"end", &SliceAttrs::end},
                           Field{"step", &SliceAttrs::step});
  }
};
struct PadAttrs {
  std::vector<int64_t> low, high, interior;
  double value = 0;
  static constexpr auto fields() {
    return std::make_tuple(Field{"low", &PadAttrs::low}, Field{"high", &PadAttrs::high},
                           Field{"interior", &PadAttrs::interior},
                           Field{"value", &PadAttrs::value});
  }
};
struct AxesAttrs {  // flip
  std::vector<int64_t> axes;
  static constexpr auto fields() { return std::make_tuple(Field{"axes", &AxesAttrs::axes}); }
};
struct AxisAttrs {  // concat, cumsum, ...
  int64_t axis = 0;
  static constexpr auto fields() { return std::make_tuple(Field{"axis", &AxisAttrs::axis}); }
};
struct DynamicSliceAttrs {
  std::vector<int64_t> sizes;
  static constexpr auto fields() {
    return std::make_tuple(Field{"sizes", &DynamicSliceAttrs::sizes});
  }
};

}  // namespace wafer
