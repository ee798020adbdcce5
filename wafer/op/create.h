#pragma once
#include <tuple>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Tensors made of nothing.
namespace wafer {

Tensor full(const Shape& shape, double value, DType dtype = DType::f32);
Tensor zeros(const Shape& shape, DType dtype = DType::f32);
Tensor ones(const Shape& shape, DType dtype = DType::f32);
Tensor zeros_like(const Tensor& x);
Tensor ones_like(const Tensor& x);
// Each element is its index along `axis`.
Tensor iota(const Shape& shape, int axis, DType dtype = DType::i64);
// 0, 1, ..., count - 1.
Tensor arange(int64_t count, DType dtype = DType::i64);
Tensor eye(int64_t size, DType dtype = DType::f32);
// Lower (upper) triangle of the last two dimensions up to `diagonal`, the rest zero.
Tensor tril(const Tensor& x, int64_t diagonal = 0);
Tensor triu(const Tensor& x, int64_t diagonal = 0);

struct IotaAttrs {
  Shape shape;
  int64_t axis = 0;
  DType dtype = DType::i64;
  static constexpr auto fields() {
    return std::make_tuple(Field{"shape", &IotaAttrs::shape}, Field{"axis", &IotaAttrs::axis},
                           Field{"dtype", &IotaAttrs::dtype});
  }
};

}  // namespace wafer
