#pragma once
#include <string>
#include <tuple>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Ops that read or write where integer tensors point. Indices are i32 or i64; negative ones count
// from the end; one out of range is an error of the run on devices that check, and reads the
// nearest element elsewhere.
namespace wafer {

// Slices of x along `axis` at `indices` (any shape): output is x's shape with `axis` replaced by
// the indices' shape (NumPy's take, ONNX's Gather).
Tensor gather(const Tensor& x, const Tensor& indices, int axis = 0);
// x plus `updates`, whose slices are added at `indices` along `axis`: the inverse of gather.
Tensor scatter_add(const Tensor& x, const Tensor& indices, const Tensor& updates, int axis = 0);
// y[i][j] = x[i][index[i][j]] for axis 1, and so on: PyTorch's gather.
Tensor gather_elements(const Tensor& x, const Tensor& indices, int axis);
// x with x[i][index[i][j]] set to (or increased by) updates[i][j] for axis 1, and so on: PyTorch's
// scatter. Of equal indices the last wins.
Tensor scatter_elements(const Tensor& x, const Tensor& indices, const Tensor& updates, int axis,
                        bool add = false);
// Rows of `table` [entries, width] at `indices`.
Tensor embedding(const Tensor& table, const Tensor& indices);
// 1 where the last (new) dimension's index equals the value, else 0.
Tensor one_hot(const Tensor& indices, int64_t classes, DType dtype = DType::f32);

struct SortResult {
  Tensor values, indices;  // indices: i64
};
// Stable; NaN counts as greatest, as in PyTorch.
SortResult sort(const Tensor& x, int axis = -1, bool descending = false);
SortResult topk(const Tensor& x, int64_t k, int axis = -1, bool largest = true);

struct ScatterElementsAttrs {
  int64_t axis = 0;
  bool add = false;
  static constexpr auto fields() {
    return std::make_tuple(Field{"axis", &ScatterElementsAttrs::axis},
                           Field{"add", &ScatterElementsAttrs::add});
  }
};
struct SortAttrs {
  int64_t axis = 0;
  bool descending = false;
  static constexpr auto fields() {
    return std::make_tuple(Field{"axis", &SortAttrs::axis},
                           Field{"descending", &SortAttrs::descending});
  }
};

}  // namespace wafer
