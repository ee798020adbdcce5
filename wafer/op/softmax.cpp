#include "wafer/op/softmax.h"

#include "wafer/op/composite.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

int64_t axis_of(const Node& node) {
  return node.attr<AxisAttrs>().axis;
}

std::vector<Type> infer_softmax(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  normalise_axis(args.attrs.as<AxisAttrs>().axis, x.rank(), "softmax");
  require_dtype(is_floating(x.dtype()), "softmax", x, "a floating dtype");
  return {Type{x.dtype(), x.shape()}};
}

bool is_empty_along(const Tensor& x, int64_t axis) {
  return x.shape()[static_cast<int>(axis)] == Dim(0);
}

// x less its greatest element along the axis, so that exp cannot overflow.
Tensor shifted(const Tensor& x, int64_t axis) {
  return x - reduce_max(x, {axis}, true);
}

// Subtraction, maximum, sum and division beside the exponential.
Cost softmax_cost(const Node& node) {
  return {12.0 * static_cast<double>(node.outputs[0].elements()), bytes_touched(node)};
}
}  // namespace

const OpDef softmax_def = {.name = "softmax",
                           .infer = infer_softmax,
                           // By the output: y (g - sum(g y)).
                           .vjp = [](const VjpArgs& v) -> Tensors {
                             const Tensor &y = v.outputs[0], &g = v.output_gradients[0];
                             return {y * (g - reduce_sum(g * y, {axis_of(v.node)}, true))};
                           },
                           .decompose = [](const Node& node, const Tensors& in) -> Tensors {
                             int64_t axis = axis_of(node);
                             if (is_empty_along(in[0], axis)) return {in[0]};
                             Tensor exponential = exp(shifted(in[0], axis));
                             return {exponential / reduce_sum(exponential, {axis}, true)};
                           },
                           .cost = softmax_cost,
                           .read_attrs = Attrs::read<AxisAttrs>};

const OpDef log_softmax_def = {
    .name = "log_softmax",
    .infer = infer_softmax,
    // By the output: g - exp(y) sum(g).
    .vjp = [](const VjpArgs& v) -> Tensors {
      const Tensor& g = v.output_gradients[0];
      return {g - exp(v.outputs[0]) * reduce_sum(g, {axis_of(v.node)}, true)};
    },
    .decompose = [](const Node& node, const Tensors& in) -> Tensors {
      int64_t axis = axis_of(node);
      if (is_empty_along(in[0], axis)) return {in[0]};
      Tensor distance = shifted(in[0], axis);
      return {distance - log(reduce_sum(exp(distance), {axis}, true))};
    },
    .cost = softmax_cost,
    .read_attrs = Attrs::read<AxisAttrs>};

Tensor softmax(const Tensor& x, int axis) {
  return make(op::softmax, {as_real(x)}, AxisAttrs{normalise_axis(axis, x.rank(), "softmax")});
}
Tensor log_softmax(const Tensor& x, int axis) {
  return make(op::log_softmax, {as_real(x)},
              AxisAttrs{normalise_axis(axis, x.rank(), "log_softmax")});
}

}  // namespace wafer
