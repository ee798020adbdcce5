#include "wafer/op/create.h"

#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

const OpDef iota_def = {.name = "iota",
                        .infer = [](const InferArgs& args) -> std::vector<Type> {
                          const auto& attrs = args.attrs.as<IotaAttrs>();
                          normalise_axis(attrs.axis, attrs.shape.rank(), "iota");
                          WAFER_REQUIRE(attrs.dtype != DType::boolean, "iota",
                                        "needs a numeric dtype");
                          return {Type{attrs.dtype, attrs.shape}};
                        },
                        .cost = [](const Node& node) -> Cost {
                          return {0, bytes_touched(node)};
                        },
                        .read_attrs = Attrs::read<IotaAttrs>};

Tensor full(const Shape& shape, double value, DType dtype) {
  return broadcast_to(cast(Tensor::from_values<double>({value}, Shape{}), dtype), shape);
}
Tensor zeros(const Shape& shape, DType dtype) {
  return full(shape, 0, dtype);
}
Tensor ones(const Shape& shape, DType dtype) {
  return full(shape, 1, dtype);
}
Tensor zeros_like(const Tensor& x) {
  return zeros(x.shape(), x.dtype());
}
Tensor ones_like(const Tensor& x) {
  return ones(x.shape(), x.dtype());
}
Tensor iota(const Shape& shape, int axis, DType dtype) {
  return make(op::iota, {}, IotaAttrs{shape, normalise_axis(axis, shape.rank(), "iota"), dtype});
}
Tensor arange(int64_t count, DType dtype) {
  return iota(Shape{count}, 0, dtype);
}
Tensor eye(int64_t size, DType dtype) {
  Shape shape{size, size};
  return cast(equal(iota(shape, 0), iota(shape, 1)), dtype);
}

namespace {
Tensor distance_from_diagonal(const Tensor& x, const char* where) {
  WAFER_REQUIRE(x.rank() >= 2, where, "needs at least two dimensions; got ", x.shape());
  Shape matrix{x.shape()[-2], x.shape()[-1]};
  return iota(matrix, 1) - iota(matrix, 0);
}
}  // namespace

Tensor tril(const Tensor& x, int64_t diagonal) {
  return where(less_equal(distance_from_diagonal(x, "tril"), Tensor(diagonal)), x,
               scalar_like(x, 0));
}
Tensor triu(const Tensor& x, int64_t diagonal) {
  return where(greater_equal(distance_from_diagonal(x, "triu"), Tensor(diagonal)), x,
               scalar_like(x, 0));
}

}  // namespace wafer
