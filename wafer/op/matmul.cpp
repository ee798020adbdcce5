#include "wafer/op/matmul.h"

#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

struct Extents {
  Dim rows, inner_a, inner_b, columns;
};

Extents extents(const Tensor& a, const Tensor& b, const MatmulAttrs& attrs) {
  return {a.shape()[attrs.transpose_a ? -1 : -2], a.shape()[attrs.transpose_a ? -2 : -1],
          b.shape()[attrs.transpose_b ? -1 : -2], b.shape()[attrs.transpose_b ? -2 : -1]};
}

std::vector<Type> infer_matmul(const InferArgs& args) {
  const Tensor &a = args.inputs[0], &b = args.inputs[1];
  Extents e = extents(a, b, args.attrs.as<MatmulAttrs>());
  bool batches_fit = a.rank() == b.rank() && a.dtype() == b.dtype();
  for (int i = 0; batches_fit && i < a.rank() - 2; ++i) batches_fit = a.shape()[i] == b.shape()[i];
  WAFER_CHECK(batches_fit, "matmul: ", a.type(), " and ", b.type());
  if (!(e.inner_a == e.inner_b)) {
    throw UserError("matmul", str("inner dimensions differ: ", e.inner_a, " and ", e.inner_b),
                    {.got = str(a.shape(), " and ", b.shape())});
  }
  Shape shape = a.shape();
  shape.set(-2, e.rows);
  shape.set(-1, e.columns);
  return {Type{a.dtype(), shape}};
}

Cost matmul_cost(const Node& node) {
  double inner =
      static_cast<double>(node.inputs[0].size(node.attr<MatmulAttrs>().transpose_a ? -2 : -1));
  return {2 * inner * static_cast<double>(node.outputs[0].elements()), bytes_touched(node)};
}

Tensors matmul_vjp(const VjpArgs& v) {
  const auto& [ta, tb] = v.node.attr<MatmulAttrs>();
  const Tensor &a = v.inputs[0], &b = v.inputs[1], &g = v.output_gradients[0];
  Tensors result(2);
  if (v.needed[0]) result[0] = ta ? matmul(b, g, tb, true) : matmul(g, b, false, !tb);
  if (v.needed[1]) result[1] = tb ? matmul(g, a, true, ta) : matmul(a, g, !ta, false);
  return result;
}
}  // namespace

const OpDef matmul_def = {.name = "matmul",
                          .infer = infer_matmul,
                          .vjp = matmul_vjp,
                          .cost = matmul_cost,
                          .read_attrs = Attrs::read<MatmulAttrs>};

Tensor matmul(const Tensor& a, const Tensor& b) {
  return matmul(a, b, false, false);
}

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  WAFER_REQUIRE(a.rank() > 0 && b.rank() > 0, "matmul", "a scalar has no matrix product; got ",
                a.type(), " and ", b.type());
  if (a.rank() == 1) {
    return squeeze(matmul(unsqueeze(a, 0), b, false, transpose_b), b.rank() == 1 ? -1 : -2);
  }
  if (b.rank() == 1) return squeeze(matmul(a, unsqueeze(b, 1), transpose_a, false), -1);
  DType dtype = promote(a.dtype(), b.dtype());
  require_dtype(dtype != DType::boolean, "matmul", a, "numbers");
  MatmulAttrs attrs{transpose_a, transpose_b};
  // [..., m, k] x [k, n] is one product of all rows.
  if (b.rank() == 2 && a.rank() > 2 && !transpose_a) {
    Tensor rows = flatten(a, 0, -2);
    std::vector<Dim> dims(a.shape().dims().begin(), a.shape().dims().end() - 1);
    dims.push_back(b.shape()[transpose_b ? 0 : 1]);
    return reshape(matmul(rows, b, false, transpose_b), Shape(std::move(dims)));
  }
  auto batch = [](const Tensor& x) {
    return Shape(std::vector<Dim>(x.shape().dims().begin(), x.shape().dims().end() - 2));
  };
  Shape batches = broadcast_shapes(batch(a), batch(b), "matmul");
  auto widen = [&](const Tensor& x) {
    auto dims = batches.dims();
    dims.push_back(x.shape()[-2]);
    dims.push_back(x.shape()[-1]);
    return broadcast_to(cast(x, dtype), Shape(std::move(dims)));
  };
  return make(op::matmul, {widen(a), widen(b)}, attrs);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  WAFER_REQUIRE(x.rank() >= 1, "linear", "the input is a scalar; expected [..., in]");
  if (!(x.shape()[-1] == weight.shape()[-1])) {
    throw UserError(
        "linear",
        str("the input has ", x.shape()[-1], " features, the layer takes ", weight.shape()[-1]),
        {.got = str("input ", x.shape(), ", weight ", weight.shape()),
         .expected = str("an input of ", weight.shape()[-1], " features"),
         .hint = str("make the layer Linear{", x.shape()[-1], ", ", weight.shape()[0], "}")});
  }
  Tensor y = matmul(x, weight, false, true);
  return bias ? y + bias : y;
}

}  // namespace wafer
