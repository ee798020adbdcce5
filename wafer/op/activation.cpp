#include "wafer/op/activation.h"

#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

std::vector<Type> infer_float(const InferArgs& args) {
  return {Type{args.inputs[0].dtype(), args.inputs[0].shape()}};
}

struct GeluAttrs {
  bool approximate = false;
  static constexpr auto fields() {
    return std::make_tuple(Field{"approximate", &GeluAttrs::approximate});
  }
};

Tensor real(const Tensor& x) {
  return is_floating(x.dtype()) ? x : cast(x, DType::f32);
}
}  // namespace

const OpDef relu_def = {
    .name = "relu",
    .infer = infer_float,
    // By the output, so that the input need not be kept for the backward pass.
    .vjp = [](const VjpArgs& v) -> Tensors {
      const Tensor& g = v.output_gradients[0];
      return {where(greater(v.outputs[0], 0.0), g, scalar_like(g, 0))};
    },
    .decompose = [](const Node&, const Tensors& in) -> Tensors { return {maximum(in[0], 0.0)}; },
    .elementwise = true};

const OpDef sigmoid_def = {.name = "sigmoid",
                           .infer = infer_float,
                           .vjp = [](const VjpArgs& v) -> Tensors {
                             const Tensor& y = v.outputs[0];
                             return {v.output_gradients[0] * y * (1.0 - y)};
                           },
                           // By tanh, which saturates where exp would overflow.
                           .decompose = [](const Node&, const Tensors& in) -> Tensors {
                             return {tanh(in[0] * 0.5) * 0.5 + 0.5};
                           },
                           .elementwise = true};

const OpDef silu_def = {
    .name = "silu",
    .infer = infer_float,
    .decompose = [](const Node&, const Tensors& in) -> Tensors { return {in[0] * sigmoid(in[0])}; },
    .elementwise = true};

const OpDef gelu_def = {.name = "gelu",
                        .infer = infer_float,
                        .decompose = [](const Node& node, const Tensors& in) -> Tensors {
                          const Tensor& x = in[0];
                          if (node.attr<GeluAttrs>().approximate) {
                            // sqrt(2 / pi) (x + 0.044715 x^3)
                            Tensor inner = (x + x * x * x * 0.044715) * 0.7978845608028654;
                            return {x * 0.5 * (tanh(inner) + 1.0)};
                          }
                          return {x * 0.5 * (erf(x * 0.7071067811865476) + 1.0)};
                        },
                        .read_attrs = Attrs::read<GeluAttrs>,
                        .elementwise = true};

Tensor relu(const Tensor& x) {
  return make(op::relu, {x});
}
Tensor relu6(const Tensor& x) {
  return clamp(x, 0, 6);
}
Tensor sigmoid(const Tensor& x) {
  return make(op::sigmoid, {real(x)});
}
Tensor silu(const Tensor& x) {
  return make(op::silu, {real(x)});
}
Tensor gelu(const Tensor& x, bool approximate) {
  return make(op::gelu, {real(x)}, GeluAttrs{approximate});
}
Tensor leaky_relu(const Tensor& x, double negative_slope) {
  return where(greater(x, 0.0), x, x * negative_slope);
}
Tensor elu(const Tensor& x, double alpha) {
  return where(greater(x, 0.0), x, expm1(minimum(x, 0.0)) * alpha);
}
Tensor softplus(const Tensor& x) {
  return maximum(x, 0.0) + log1p(exp(neg(abs(x))));
}
Tensor log_sigmoid(const Tensor& x) {
  return neg(softplus(neg(x)));
}
Tensor hard_sigmoid(const Tensor& x) {
  return clamp(x / 6.0 + 0.5, 0, 1);
}
Tensor hard_swish(const Tensor& x) {
  return x * hard_sigmoid(x);
}

}  // namespace wafer
