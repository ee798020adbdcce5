#include "wafer/op/conv.h"

#include <algorithm>

#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

// Output shape of a convolution; throws what a user reads.
Shape conv_shape(const Shape& x, const Shape& weight, const ConvAttrs& a) {
  size_t spatial = a.stride.size();
  if (x.rank() != static_cast<int>(spatial) + 2 || weight.rank() != x.rank()) {
    throw UserError(
        "conv", "wrong number of dimensions",
        {.got = str("input ", x, ", weight ", weight),
         .expected = "input [batch, channels, spatial...], weight [out, in/groups, kernel...]",
         .hint = "a single image needs a batch dimension of 1 in front"});
  }
  WAFER_CHECK(a.padding_low.size() == spatial && a.padding_high.size() == spatial &&
                  a.dilation.size() == spatial,
              "conv: attributes of different lengths");
  WAFER_REQUIRE(a.groups > 0, "conv", "groups must be positive; got ", a.groups);
  if (!(x[1] == weight[1] * Dim(a.groups))) {
    throw UserError(
        "conv",
        str("the input has ", x[1], " channels, the layer takes ", weight[1] * Dim(a.groups)),
        {.got = str("input ", x, ", weight ", weight, ", groups ", a.groups)});
  }
  WAFER_REQUIRE(weight.size(0) % a.groups == 0, "conv", "the ", weight[0],
                " output channels do not divide into ", a.groups, " groups");
  Shape y = x;
  y.set(1, weight[0]);
  for (size_t i = 0; i < spatial; ++i) {
    auto d = static_cast<int>(i) + 2;
    WAFER_REQUIRE(
        a.stride[i] > 0 && a.dilation[i] > 0 && a.padding_low[i] >= 0 && a.padding_high[i] >= 0,
        "conv", "stride and dilation must be positive and padding not negative");
    int64_t window = a.dilation[i] * (weight.size(d) - 1) + 1;
    int64_t padded = x.size(d) + a.padding_low[i] + a.padding_high[i];
    if (weight.size(d) < 1 || padded < window) {
      throw UserError("conv",
                      str("a kernel of ", weight.size(d), " (dilation ", a.dilation[i],
                          ") does not fit into size ", x.size(d), " with padding"),
                      {.got = str("input ", x, ", weight ", weight),
                       .hint = "pad more or use a smaller kernel"});
    }
    y.set(d, (padded - window) / a.stride[i] + 1);
  }
  return y;
}

ConvAttrs plain(const ConvGradientAttrs& a) {
  return {a.stride, a.padding_low, a.padding_high, a.dilation, a.groups};
}
ConvGradientAttrs with_shape(const ConvAttrs& a, const Shape& shape) {
  return {a.stride, a.padding_low, a.padding_high, a.dilation, a.groups, shape};
}

std::vector<Type> infer_conv(const InferArgs& args) {
  const Tensor &x = args.inputs[0], &weight = args.inputs[1];
  WAFER_CHECK(x.dtype() == weight.dtype(), "conv: ", x.type(), " and ", weight.type());
  return {Type{x.dtype(), conv_shape(x.shape(), weight.shape(), args.attrs.as<ConvAttrs>())}};
}

std::vector<Type> infer_input_gradient(const InferArgs& args) {
  const Tensor &gradient = args.inputs[0], &weight = args.inputs[1];
  const auto& attrs = args.attrs.as<ConvGradientAttrs>();
  Shape expected = conv_shape(attrs.shape, weight.shape(), plain(attrs));
  WAFER_REQUIRE(expected == gradient.shape(), "conv_input_gradient", "gradient of shape ",
                gradient.shape(), " where a convolution of ", attrs.shape, " gives ", expected);
  return {Type{gradient.dtype(), attrs.shape}};
}

std::vector<Type> infer_weight_gradient(const InferArgs& args) {
  const Tensor &x = args.inputs[0], &gradient = args.inputs[1];
  const auto& attrs = args.attrs.as<ConvGradientAttrs>();
  Shape expected = conv_shape(x.shape(), attrs.shape, plain(attrs));
  WAFER_REQUIRE(expected == gradient.shape(), "conv_weight_gradient", "gradient of shape ",
                gradient.shape(), " where a convolution of ", x.shape(), " gives ", expected);
  return {Type{x.dtype(), attrs.shape}};
}

// Two operations per weight used for each output element of the forward convolution.
double conv_flops(const Shape& output, const Shape& weight) {
  return 2.0 * static_cast<double>(output.elements()) * static_cast<double>(weight.elements()) /
         static_cast<double>(std::max<int64_t>(weight.size(0), 1));
}

std::vector<int64_t> spread(const std::vector<int64_t>& values, size_t spatial, const char* what) {
  if (values.size() == spatial) return values;
  WAFER_REQUIRE(values.size() == 1, "conv", what, " of ", values.size(), " numbers for ", spatial,
                " spatial dimensions");
  return std::vector<int64_t>(spatial, values[0]);
}

ConvAttrs attrs_of(const ConvOptions& o, int rank) {
  WAFER_REQUIRE(rank >= 3 && rank <= 5, "conv", "a tensor of ", rank,
                " dimensions; expected 3 to 5: ", "[batch, channels, spatial...]");
  auto spatial = static_cast<size_t>(rank - 2);
  auto low = spread(o.padding, spatial, "padding");
  return {spread(o.stride, spatial, "stride"), low,
          o.padding_high.empty() ? low : spread(o.padding_high, spatial, "padding"),
          spread(o.dilation, spatial, "dilation"), o.groups};
}

Tensor add_channel_bias(const Tensor& y, const Tensor& bias) {
  if (!bias) return y;
  WAFER_REQUIRE(bias.rank() == 1 && bias.shape()[0] == y.shape()[1], "conv", "a bias of ",
                bias.shape(), " for ", y.shape()[1], " output channels");
  std::vector<int64_t> sizes(static_cast<size_t>(y.rank()), 1);
  sizes[1] = bias.size(0);
  return y + reshape(bias, sizes);
}
}  // namespace

const OpDef conv_def = {
    .name = "conv",
    .infer = infer_conv,
    .vjp = [](const VjpArgs& v) -> Tensors {
      const auto& attrs = v.node.attr<ConvAttrs>();
      const Tensor &x = v.inputs[0], &weight = v.inputs[1], &g = v.output_gradients[0];
      return {v.needed[0] ? conv_input_gradient(g, weight, x.shape(), attrs) : Tensor(),
              v.needed[1] ? conv_weight_gradient(x, g, weight.shape(), attrs) : Tensor()};
    },
    .cost = [](const Node& node) -> Cost {
      return {conv_flops(node.outputs[0].shape, node.inputs[1].shape()), bytes_touched(node)};
    },
    .read_attrs = Attrs::read<ConvAttrs>};

const OpDef conv_input_gradient_def = {
    .name = "conv_input_gradient",
    .infer = infer_input_gradient,
    .vjp = [](const VjpArgs& v) -> Tensors {
      ConvAttrs attrs = plain(v.node.attr<ConvGradientAttrs>());
      const Tensor &gradient = v.inputs[0], &weight = v.inputs[1], &g = v.output_gradients[0];
      return {v.needed[0] ? make(op::conv, {g, weight}, attrs) : Tensor(),
              v.needed[1] ? conv_weight_gradient(g, gradient, weight.shape(), attrs) : Tensor()};
    },
    .cost = [](const Node& node) -> Cost {
      return {conv_flops(node.inputs[0].shape(), node.inputs[1].shape()), bytes_touched(node)};
    },
    .read_attrs = Attrs::read<ConvGradientAttrs>};

const OpDef conv_weight_gradient_def = {
    .name = "conv_weight_gradient",
    .infer = infer_weight_gradient,
    .vjp = [](const VjpArgs& v) -> Tensors {
      ConvAttrs attrs = plain(v.node.attr<ConvGradientAttrs>());
      const Tensor &x = v.inputs[0], &gradient = v.inputs[1], &g = v.output_gradients[0];
      return {v.needed[0] ? conv_input_gradient(gradient, g, x.shape(), attrs) : Tensor(),
              v.needed[1] ? make(op::conv, {x, g}, attrs) : Tensor()};
    },
    .cost = [](const Node& node) -> Cost {
      return {conv_flops(node.inputs[1].shape(), node.outputs[0].shape), bytes_touched(node)};
    },
    .read_attrs = Attrs::read<ConvGradientAttrs>};

Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvOptions& options) {
  WAFER_REQUIRE(x.dtype() == weight.dtype() && is_floating(x.dtype()), "conv", "input of ",
                x.dtype(), " and weight of ", weight.dtype(),
                "; expected one floating dtype; cast one of them");
  return add_channel_bias(make(op::conv, {x, weight}, attrs_of(options, x.rank())), bias);
}

Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const ConvOptions& options, const std::vector<int64_t>& output_padding) {
  WAFER_REQUIRE(x.dtype() == weight.dtype() && is_floating(x.dtype()), "conv_transpose",
                "input of ", x.dtype(), " and weight of ", weight.dtype(),
                "; expected one floating dtype");
  ConvAttrs attrs = attrs_of(options, x.rank());
  auto extra = spread(output_padding, attrs.stride.size(), "output padding");
  WAFER_REQUIRE(weight.rank() == x.rank() && weight.shape()[0] == x.shape()[1], "conv_transpose",
                "weight ", weight.shape(), " for input ", x.shape(),
                "; expected [in, out/groups, kernel...]");
  Shape shape = x.shape();
  shape.set(1, weight.shape()[1] * Dim(attrs.groups));
  for (size_t i = 0; i < extra.size(); ++i) {
    auto d = static_cast<int>(i) + 2;
    shape.set(d, (x.shape()[d] - Dim(1)) * Dim(attrs.stride[i]) +
                     Dim(attrs.dilation[i] * (weight.size(d) - 1) + 1 + extra[i] -
                         attrs.padding_low[i] - attrs.padding_high[i]));
  }
  return add_channel_bias(conv_input_gradient(x, weight, shape, attrs), bias);
}

Tensor conv_input_gradient(const Tensor& gradient, const Tensor& weight, const Shape& input_shape,
                           const ConvAttrs& attrs) {
  return make(op::conv_input_gradient, {gradient, weight}, with_shape(attrs, input_shape));
}
Tensor conv_weight_gradient(const Tensor& x, const Tensor& gradient, const Shape& weight_shape,
                            const ConvAttrs& attrs) {
  return make(op::conv_weight_gradient, {x, gradient}, with_shape(attrs, weight_shape));
}

}  // namespace wafer
