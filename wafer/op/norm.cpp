#include "wafer/op/norm.h"

#include <algorithm>

#include "wafer/op/composite.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

Axes all_but_channels(const Tensor& x) {
  Axes axes = axes_from(2, x);
  axes.insert(axes.begin(), 0);
  return axes;
}

// Weights and statistics have the dtype of the values, or are f32 where those are of 16 bits.
bool goes_with(DType vector, DType values) {
  return vector == values || (vector == DType::f32 && bits(values) == 16);
}

// x [batch, channels, ...] and tensors [channels].
void check_channels(const char* op, const Tensor& x,
                    const std::vector<std::pair<const char*, Tensor>>& vectors) {
  require_dtype(is_floating(x.dtype()), op, x, "a floating dtype");
  WAFER_REQUIRE(x.rank() >= 2, op, "an input of ", x.shape(), "; expected [batch, channels, ...]");
  for (const auto& [what, v] : vectors) {
    if (!v) continue;
    if (!(v.shape() == Shape{x.shape()[1]})) {
      throw UserError(op,
                      str("the input has ", x.shape()[1], " channels, the ", what, " is for ",
                          v.rank() == 1 ? v.shape()[0].text() : v.shape().text()),
                      {.got = shapes_text({{"input", x}, {what, v}}),
                       .expected = str("a ", what, " of shape ", x.shape()[1]),
                       .hint = str("channels are dimension 1; make the layer for ", x.shape()[1],
                                   " channels")});
    }
    WAFER_REQUIRE(goes_with(v.dtype(), x.dtype()), op, "input of ", x.dtype(), " and ", what,
                  " of ", v.dtype(), "; cast one of them");
  }
}

std::vector<Type> infer_batch_norm(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  check_channels("batch_norm", x, {{"weight", args.inputs[1]}, {"bias", args.inputs[2]}});
  Axes axes = all_but_channels(x);
  bool single = std::all_of(axes.begin(), axes.end(), [&](int64_t axis) {
    return x.shape()[static_cast<int>(axis)] == Dim(1);
  });
  if (single) {
    throw UserError("batch_norm", "one value per channel has no variance to train on",
                    {.got = str("input ", x.shape()),
                     .expected = "more than one value per channel",
                     .hint = "use a batch of at least 2, or the layer in evaluation mode"});
  }
  Type channels{args.inputs[1].dtype(), args.inputs[1].shape()};
  return {Type{x.dtype(), x.shape()}, channels, channels};
}

std::vector<Type> infer_batch_norm_gradient(const InferArgs& args) {
  const Tensor &g = args.inputs[0], &x = args.inputs[1];
  check_channels(
      "batch_norm_gradient", x,
      {{"weight", args.inputs[2]}, {"mean", args.inputs[3]}, {"variance", args.inputs[4]}});
  WAFER_CHECK(g.shape() == x.shape() && g.dtype() == x.dtype(), "batch_norm_gradient: ", g.type(),
              " for ", x.type());
  Type channels{args.inputs[2].dtype(), args.inputs[2].shape()};
  return {Type{x.dtype(), x.shape()}, channels, channels};
}

std::vector<Type> infer_batch_norm_inference(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  check_channels("batch_norm_inference", x,
                 {{"mean", args.inputs[1]},
                  {"variance", args.inputs[2]},
                  {"weight", args.inputs[3]},
                  {"bias", args.inputs[4]}});
  return {Type{x.dtype(), x.shape()}};
}

Tensor inverse_deviation(const Tensor& variance, const Node& node) {
  return rsqrt(variance + node.attr<BatchNormAttrs>().epsilon);
}

Tensors decompose_batch_norm(const Node& node, const Tensors& in) {
  const Tensor &weight = in[1], &bias = in[2];
  Tensor x = cast(in[0], weight.dtype());
  Axes axes = all_but_channels(x);
  Tensor average = mean_over(x, axes);
  Tensor distance = x - along_channels(average, x);
  Tensor spread = mean_over(square(distance), axes);
  Tensor scale = weight * inverse_deviation(spread, node);
  Tensor y = distance * along_channels(scale, x) + along_channels(bias, x);
  return {cast(y, in[0].dtype()), average, spread};
}

// dx = weight / sigma (g - mean(g) - x^ mean(g x^)), x^ the normalised x.
Tensors decompose_batch_norm_gradient(const Node& node, const Tensors& in) {
  const Tensor &weight = in[2], &average = in[3];
  Tensor g = cast(in[0], weight.dtype()), x = cast(in[1], weight.dtype());
  Axes axes = all_but_channels(x);
  Tensor inverse = inverse_deviation(in[4], node);
  Tensor normal = (x - along_channels(average, x)) * along_channels(inverse, x);
  Tensor by_bias = reduce_sum(g, axes), by_weight = reduce_sum(g * normal, axes);
  Tensor n = element_count(x, axes);
  Tensor by_x = (g - along_channels(by_bias / n, x) - normal * along_channels(by_weight / n, x)) *
                along_channels(weight * inverse, x);
  return {cast(by_x, in[1].dtype()), by_weight, by_bias};
}

Tensors batch_norm_vjp(const VjpArgs& v) {
  const Tensor &x = v.inputs[0], &weight = v.inputs[1];
  const Tensor &mean_gradient = v.output_gradients[1], &variance_gradient = v.output_gradients[2];
  Tensors result(3);
  if (const Tensor& g = v.output_gradients[0]) {
    result = make_node(op::batch_norm_gradient, {g, x, weight, v.outputs[1], v.outputs[2]},
                       v.node.attrs);
  }
  Tensor n = element_count(x, all_but_channels(x));
  auto add = [&](const Tensor& wide) {
    Tensor more = cast(wide, x.dtype());
    result[0] = result[0] ? result[0] + more : more;
  };
  if (mean_gradient) add(broadcast_to(along_channels(mean_gradient / n, x), x.shape()));
  if (variance_gradient) {
    add((x - along_channels(v.outputs[1], x)) * along_channels(variance_gradient * 2.0 / n, x));
  }
  return result;
}

template <int flops_per_element, int input>
Cost norm_cost(const Node& node) {
  return {flops_per_element * static_cast<double>(node.inputs[input].elements()),
          bytes_touched(node)};
}

// ---- over the last dimensions ----

struct Trailing {
  int dimensions;
  Axes axes;     // the last ones
  Axes leading;  // the others
  Tensor widen(const Tensor& v) const { return append_ones(v, dimensions); }
  // Sum over the leading dimensions.
  Tensor gather_in(const Tensor& v) const { return leading.empty() ? v : reduce_sum(v, leading); }
};

Trailing trailing_of(const Node& node, const Tensor& x) {
  auto dimensions = static_cast<int>(node.attr<LayerNormAttrs>().dimensions);
  Trailing t{dimensions, axes_from(x.rank() - dimensions, x), {}};
  for (int axis = 0; axis < x.rank() - dimensions; ++axis) t.leading.push_back(axis);
  return t;
}

Shape part(const Shape& shape, int from, int to) {
  return Shape(std::vector<Dim>(shape.dims().begin() + from, shape.dims().begin() + to));
}

// Checks x and weights; gives the shape of the leading dimensions.
Shape check_trailing(const char* op, const Tensor& x, const LayerNormAttrs& attrs,
                     const std::vector<std::pair<const char*, Tensor>>& weights) {
  require_dtype(is_floating(x.dtype()), op, x, "a floating dtype");
  WAFER_REQUIRE(attrs.dimensions >= 1 && attrs.dimensions <= x.rank(), op, "normalises the last ",
                attrs.dimensions, " dimensions; the input is ", x.shape());
  int first = x.rank() - static_cast<int>(attrs.dimensions);
  Shape last = part(x.shape(), first, x.rank());
  for (const auto& [what, v] : weights) {
    if (!(v.shape() == last && goes_with(v.dtype(), x.dtype()))) {
      throw UserError(op, str("the ", what, " does not fit the input"),
                      {.got = str("input ", x.type(), ", ", what, " ", v.type()),
                       .expected = str("a ", what, " of ", x.dtype(), "[", last, "]")});
    }
  }
  return part(x.shape(), 0, first);
}

std::vector<Type> infer_layer_norm(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  std::vector<std::pair<const char*, Tensor>> weights;
  WAFER_CHECK(args.inputs.size() != 2, "layer_norm: a weight without a bias");
  if (args.inputs.size() > 1) weights = {{"weight", args.inputs[1]}, {"bias", args.inputs[2]}};
  Shape rows = check_trailing("layer_norm", x, args.attrs.as<LayerNormAttrs>(), weights);
  Type row{args.inputs.back().dtype(), rows};
  return {Type{x.dtype(), x.shape()}, row, row};
}

// The gradient, x and one value for each row.
void check_trailing_gradient(const char* op, const InferArgs& args,
                             const std::vector<std::pair<const char*, Tensor>>& weights,
                             std::initializer_list<Tensor> rows) {
  const Tensor &g = args.inputs[0], &x = args.inputs[1];
  DType statistics = weights.empty() ? x.dtype() : weights[0].second.dtype();
  Type row{statistics, check_trailing(op, x, args.attrs.as<LayerNormAttrs>(), weights)};
  bool fits = g.shape() == x.shape() && g.dtype() == x.dtype();
  for (const Tensor& v : rows) fits = fits && v.shape() == row.shape && v.dtype() == row.dtype;
  WAFER_CHECK(fits, op, ": inputs do not fit x of ", x.type());
}

std::vector<Type> infer_layer_norm_gradient(const InferArgs& args) {
  const Tensor& x = args.inputs[1];
  std::vector<std::pair<const char*, Tensor>> weights;
  if (args.inputs.size() > 4) weights = {{"weight", args.inputs[4]}};
  check_trailing_gradient("layer_norm_gradient", args, weights, {args.inputs[2], args.inputs[3]});
  std::vector<Type> types = {Type{x.dtype(), x.shape()}};
  if (!weights.empty()) types.insert(types.end(), 2, args.inputs[4].type());
  return types;
}

std::vector<Type> infer_rms_norm(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  std::vector<std::pair<const char*, Tensor>> weights;
  if (args.inputs.size() > 1) weights = {{"weight", args.inputs[1]}};
  Shape rows = check_trailing("rms_norm", x, args.attrs.as<LayerNormAttrs>(), weights);
  return {Type{x.dtype(), x.shape()}, Type{args.inputs.back().dtype(), rows}};
}

std::vector<Type> infer_rms_norm_gradient(const InferArgs& args) {
  const Tensor& x = args.inputs[1];
  std::vector<std::pair<const char*, Tensor>> weights;
  if (args.inputs.size() > 3) weights = {{"weight", args.inputs[3]}};
  check_trailing_gradient("rms_norm_gradient", args, weights, {args.inputs[2]});
  std::vector<Type> types = {Type{x.dtype(), x.shape()}};
  if (!weights.empty()) types.push_back(args.inputs[3].type());
  return types;
}

Tensors decompose_layer_norm(const Node& node, const Tensors& in) {
  Tensor x = cast(in[0], in.back().dtype());
  Trailing t = trailing_of(node, x);
  Tensor average = mean_over(x, t.axes);
  Tensor distance = x - t.widen(average);
  Tensor inverse = rsqrt(mean_over(square(distance), t.axes) + node.attr<LayerNormAttrs>().epsilon);
  Tensor y = distance * t.widen(inverse);
  if (in.size() > 1) y = y * in[1] + in[2];
  return {cast(y, in[0].dtype()), average, inverse};
}

// dx = (g - mean(g) - x^ mean(g x^)) / sigma with g times the weight, x^ the normalised x.
Tensors decompose_layer_norm_gradient(const Node& node, const Tensors& in) {
  const Tensor &average = in[2], &inverse = in[3];
  Tensor g = cast(in[0], inverse.dtype()), x = cast(in[1], inverse.dtype());
  bool weighted = in.size() > 4;
  Trailing t = trailing_of(node, x);
  Tensor normal = (x - t.widen(average)) * t.widen(inverse);
  Tensor inner = weighted ? g * in[4] : g;
  Tensor by_x =
      (inner - mean_over(inner, t.axes, true) - normal * mean_over(inner * normal, t.axes, true)) *
      t.widen(inverse);
  by_x = cast(by_x, in[1].dtype());
  if (!weighted) return {by_x};
  return {by_x, t.gather_in(g * normal), t.gather_in(g)};
}

Tensors layer_norm_vjp(const VjpArgs& v) {
  const Tensor &x = v.inputs[0], &average = v.outputs[1], &inverse = v.outputs[2];
  const Tensor &mean_gradient = v.output_gradients[1], &inverse_gradient = v.output_gradients[2];
  bool weighted = v.inputs.size() > 1;
  Trailing t = trailing_of(v.node, x);
  Tensors result(v.inputs.size());
  if (const Tensor& g = v.output_gradients[0]) {
    Tensors inputs = {g, x, average, inverse};
    if (weighted) inputs.push_back(v.inputs[1]);
    result = make_node(op::layer_norm_gradient, inputs, v.node.attrs);
  }
  Tensor n = element_count(x, t.axes);
  auto add = [&](const Tensor& more) { result[0] = result[0] ? result[0] + more : more; };
  if (mean_gradient) add(broadcast_to(t.widen(mean_gradient / n), x.shape()));
  if (inverse_gradient) {
    // d(1 / sigma) / dx = -(x - mean) / (n sigma^3)
    Tensor factor = neg(inverse_gradient * inverse * inverse * inverse / n);
    add((x - t.widen(average)) * t.widen(factor));
  }
  return result;
}

Tensors decompose_rms_norm(const Node& node, const Tensors& in) {
  Tensor x = cast(in[0], in.back().dtype());
  Trailing t = trailing_of(node, x);
  Tensor inverse = rsqrt(mean_over(square(x), t.axes) + node.attr<LayerNormAttrs>().epsilon);
  Tensor y = x * t.widen(inverse);
  return {cast(in.size() > 1 ? y * in[1] : y, in[0].dtype()), inverse};
}

Tensors decompose_rms_norm_gradient(const Node& node, const Tensors& in) {
  const Tensor& inverse = in[2];
  Tensor g = cast(in[0], inverse.dtype()), x = cast(in[1], inverse.dtype());
  bool weighted = in.size() > 3;
  Trailing t = trailing_of(node, x);
  Tensor normal = x * t.widen(inverse);
  Tensor inner = weighted ? g * in[3] : g;
  Tensor by_x = (inner - normal * mean_over(inner * normal, t.axes, true)) * t.widen(inverse);
  by_x = cast(by_x, in[1].dtype());
  if (!weighted) return {by_x};
  return {by_x, t.gather_in(g * normal)};
}

Tensors rms_norm_vjp(const VjpArgs& v) {
  const Tensor &x = v.inputs[0], &inverse = v.outputs[1];
  Trailing t = trailing_of(v.node, x);
  Tensors result(v.inputs.size());
  if (const Tensor& g = v.output_gradients[0]) {
    Tensors inputs = {g, x, inverse};
    if (v.inputs.size() > 1) inputs.push_back(v.inputs[1]);
    result = make_node(op::rms_norm_gradient, inputs, v.node.attrs);
  }
  if (const Tensor& inverse_gradient = v.output_gradients[1]) {
    Tensor n = element_count(x, t.axes);
    Tensor more = x * t.widen(neg(inverse_gradient * inverse * inverse * inverse / n));
    result[0] = result[0] ? result[0] + more : more;
  }
  return result;
}

// Distance from 1 to the next number.
double machine_epsilon(DType dtype) {
  switch (dtype) {
    case DType::f64: return 0x1p-52;
    case DType::f16: return 0x1p-10;
    case DType::bf16: return 0x1p-7;
    default: return 0x1p-23;
  }
}

LayerNormAttrs trailing_attrs(const char* op, const Tensor& x,
                              const std::vector<int64_t>& normalised, double epsilon) {
  auto count = static_cast<int>(normalised.size());
  bool fits = count >= 1 && count <= x.rank() &&
              part(x.shape(), x.rank() - count, x.rank()) == Shape(normalised);
  if (!fits) {
    throw UserError(op, "the input does not end in the normalised shape",
                    {.got = str("input ", x.shape(), ", normalised shape ", Shape(normalised)),
                     .expected = str("an input [..., ", Shape(normalised), "]")});
  }
  return {count, epsilon};
}

Tensor or_full(const Tensor& v, const Shape& shape, double value, const Tensor& x) {
  return v ? v : full(shape, value, x.dtype());
}
}  // namespace

const OpDef batch_norm_def = {.name = "batch_norm",
                              .infer = infer_batch_norm,
                              .vjp = batch_norm_vjp,
                              .decompose = decompose_batch_norm,
                              .cost = norm_cost<7, 0>,
                              .read_attrs = Attrs::read<BatchNormAttrs>};
const OpDef batch_norm_gradient_def = {.name = "batch_norm_gradient",
                                       .infer = infer_batch_norm_gradient,
                                       .decompose = decompose_batch_norm_gradient,
                                       .cost = norm_cost<9, 1>,
                                       .read_attrs = Attrs::read<BatchNormAttrs>};
const OpDef batch_norm_inference_def = {
    .name = "batch_norm_inference",
    .infer = infer_batch_norm_inference,
    .decompose = [](const Node& node, const Tensors& in) -> Tensors {
      Tensor x = cast(in[0], in[3].dtype());
      Tensor scale = in[3] * inverse_deviation(in[2], node);
      Tensor y =
          (x - along_channels(in[1], x)) * along_channels(scale, x) + along_channels(in[4], x);
      return {cast(y, in[0].dtype())};
    },
    .cost = norm_cost<3, 0>,
    .read_attrs = Attrs::read<BatchNormAttrs>};
const OpDef layer_norm_def = {.name = "layer_norm",
                              .infer = infer_layer_norm,
                              .vjp = layer_norm_vjp,
                              .decompose = decompose_layer_norm,
                              .cost = norm_cost<8, 0>,
                              .read_attrs = Attrs::read<LayerNormAttrs>};
const OpDef layer_norm_gradient_def = {.name = "layer_norm_gradient",
                                       .infer = infer_layer_norm_gradient,
                                       .decompose = decompose_layer_norm_gradient,
                                       .cost = norm_cost<13, 1>,
                                       .read_attrs = Attrs::read<LayerNormAttrs>};
const OpDef rms_norm_def = {.name = "rms_norm",
                            .infer = infer_rms_norm,
                            .vjp = rms_norm_vjp,
                            .decompose = decompose_rms_norm,
                            .cost = norm_cost<4, 0>,
                            .read_attrs = Attrs::read<LayerNormAttrs>};
const OpDef rms_norm_gradient_def = {.name = "rms_norm_gradient",
                                     .infer = infer_rms_norm_gradient,
                                     .decompose = decompose_rms_norm_gradient,
                                     .cost = norm_cost<9, 1>,
                                     .read_attrs = Attrs::read<LayerNormAttrs>};

BatchNormResult batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           double epsilon) {
  check_channels("batch_norm", x, {{"weight", weight}, {"bias", bias}});
  Shape channels{x.shape()[1]};
  Tensors outputs =
      make_node(op::batch_norm, {x, or_full(weight, channels, 1, x), or_full(bias, channels, 0, x)},
                BatchNormAttrs{epsilon});
  Tensor n = element_count(x, all_but_channels(x));
  return {outputs[0], outputs[1], outputs[2], outputs[2] * (n / (n - 1.0))};
}

Tensor batch_norm_inference(const Tensor& x, const Tensor& mean, const Tensor& variance,
                            const Tensor& weight, const Tensor& bias, double epsilon) {
  check_channels("batch_norm_inference", x, {});
  Shape channels{x.shape()[1]};
  return make(op::batch_norm_inference,
              {x, mean, variance, or_full(weight, channels, 1, x), or_full(bias, channels, 0, x)},
              BatchNormAttrs{epsilon});
}

Tensor layer_norm(const Tensor& x, const std::vector<int64_t>& normalised, const Tensor& weight,
                  const Tensor& bias, double epsilon) {
  LayerNormAttrs attrs = trailing_attrs("layer_norm", x, normalised, epsilon);
  Tensors inputs = {x};
  if (weight || bias) {
    Shape shape(normalised);
    inputs = {x, or_full(weight, shape, 1, x), or_full(bias, shape, 0, x)};
  }
  return make_node(op::layer_norm, inputs, attrs)[0];
}

Tensor rms_norm(const Tensor& x, const std::vector<int64_t>& normalised, const Tensor& weight,
                std::optional<double> epsilon) {
  LayerNormAttrs attrs =
      trailing_attrs("rms_norm", x, normalised, epsilon.value_or(machine_epsilon(x.dtype())));
  Tensors inputs = {x};
  if (weight) inputs.push_back(weight);
  return make_node(op::rms_norm, inputs, attrs)[0];
}

namespace {
Tensor normalise_groups(const char* op, const Tensor& x, int64_t groups, const Tensor& weight,
                        const Tensor& bias, double epsilon) {
  check_channels(op, x, {{"weight", weight}, {"bias", bias}});
  int64_t channels = x.size(1);
  WAFER_REQUIRE(groups > 0 && channels % groups == 0, op, "the ", channels,
                " channels do not divide into ", groups, " groups");
  Dim inner(channels / groups);
  for (int axis = 2; axis < x.rank(); ++axis) inner = inner * x.shape()[axis];
  Tensor rows = reshape(x, Shape{x.shape()[0], Dim(groups), inner});
  Tensor normal = make_node(op::layer_norm, {rows}, LayerNormAttrs{1, epsilon})[0];
  Tensor y = reshape(normal, x.shape());
  if (weight) y = y * along_channels(weight, x);
  if (bias) y = y + along_channels(bias, x);
  return y;
}
}  // namespace

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double epsilon) {
  return normalise_groups("group_norm", x, groups, weight, bias, epsilon);
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon) {
  WAFER_REQUIRE(x.rank() >= 3, "instance_norm", "an input of ", x.shape(),
                "; expected [batch, channels, spatial...]");
  return normalise_groups("instance_norm", x, x.size(1), weight, bias, epsilon);
}

}  // namespace wafer
