#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/op/conv.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"

namespace wafer::onnx::exporter {

namespace {
// The contraction of a node that may be the sum with its bias, and that bias.
struct Parts {
  const Node* node;
  Ref bias;
};
Parts parts(Emitter& e, const Node& node) {
  Emitter::Biased found = e.biased(node);
  if (!found.contraction) return {&node, {}};
  return {found.contraction, e.in(found.bias)};
}

// The last two dimensions exchanged.
Ref exchanged(Emitter& e, const Ref& x, int rank) {
  Ints permutation;
  for (int d = 0; d < rank; ++d) permutation.push_back(d);
  std::swap(permutation[static_cast<size_t>(rank) - 2], permutation[static_cast<size_t>(rank) - 1]);
  return e.transpose(x, permutation);
}

Refs matmul(Emitter& e, const Node& sum) {
  auto [node, bias] = parts(e, sum);
  const auto& attrs = node->attr<MatmulAttrs>();
  int rank = node->outputs[0].shape.rank();
  if (rank == 2 && (bias || attrs.transpose_a || attrs.transpose_b)) {
    Settings settings;
    if (attrs.transpose_a) settings.emplace_back("transA", 1);
    if (attrs.transpose_b) settings.emplace_back("transB", 1);
    Refs in = {e.in(node->inputs[0]), e.in(node->inputs[1])};
    if (bias) in.push_back(bias);
    return {e.same("Gemm", in, settings)};
  }
  Ref a = e.in(node->inputs[0]), b = e.in(node->inputs[1]);
  if (attrs.transpose_a) a = exchanged(e, a, rank);
  if (attrs.transpose_b) b = exchanged(e, b, rank);
  return {e.same("MatMul", {a, b})};
}

Ints both(const Ints& low, const Ints& high) {
  Ints pads = low;
  pads.insert(pads.end(), high.begin(), high.end());
  return pads;
}

Ints kernel_of(const Shape& weight) {
  Ints sizes = weight.sizes();
  return {sizes.begin() + 2, sizes.end()};
}

Refs conv(Emitter& e, const Node& sum) {
  auto [node, bias] = parts(e, sum);
  const auto& a = node->attr<ConvAttrs>();
  Refs in = {e.in(node->inputs[0]), e.in(node->inputs[1])};
  if (bias) in.push_back(bias);
  return {e.same("Conv", in,
                 {{"kernel_shape", kernel_of(node->inputs[1].shape())},
                  {"strides", a.stride},
                  {"pads", both(a.padding_low, a.padding_high)},
                  {"dilations", a.dilation},
                  {"group", a.groups}})};
}

// The gradient by the input is what ConvTranspose computes.
Refs conv_input_gradient(Emitter& e, const Node& sum) {
  auto [node, bias] = parts(e, sum);
  const auto& a = node->attr<ConvGradientAttrs>();
  const Shape &gradient = node->inputs[0].shape(), &weight = node->inputs[1].shape();
  Ints extra, low, high;
  for (size_t i = 0; i < a.stride.size(); ++i) {
    int d = static_cast<int>(i) + 2;
    int64_t whole = (gradient.size(d) - 1) * a.stride[i] + a.dilation[i] * (weight.size(d) - 1) + 1;
    extra.push_back(a.shape.size(d) + a.padding_low[i] + a.padding_high[i] - whole);
  }
  Refs in = {e.in(node->inputs[0]), e.in(node->inputs[1])};
  if (bias) in.push_back(bias);
  return {e.same("ConvTranspose", in,
                 {{"kernel_shape", kernel_of(weight)},
                  {"strides", a.stride},
                  {"pads", both(a.padding_low, a.padding_high)},
                  {"output_padding", extra},
                  {"dilations", a.dilation},
                  {"group", a.groups}})};
}

// The gradient by the weight is a convolution of x with y's gradient, where the batch takes the
// place of the channels and stride and dilation change theirs: x as [in/groups, groups * batch,
// ...], the gradient as [out, batch, ...], whose product is [in/groups, out, kernel...] or longer.
Refs conv_weight_gradient(Emitter& e, const Node& node) {
  const auto& a = node.attr<ConvGradientAttrs>();
  const Shape &x = node.inputs[0].shape(), &weight = a.shape;
  int spatial = static_cast<int>(a.stride.size());
  std::vector<Dim> split = {x[0], Dim(a.groups), weight[1]}, joined = {weight[1], x[0] * a.groups};
  Ints order = {2, 1, 0}, swapped = {1, 0}, starts, ends, axes;
  for (int d = 2; d < x.rank(); ++d) {
    split.push_back(x[d]);
    joined.push_back(x[d]);
    order.push_back(d + 1);
    swapped.push_back(d);
    starts.push_back(0);
    ends.push_back(weight.size(d));
    axes.push_back(d);
  }
  Ref apart = e.reshape(e.in(node.inputs[0]), Shape(split));
  Ref images = e.reshape(e.transpose(apart, order), Shape(joined));
  Ref kernels = e.transpose(e.in(node.inputs[1]), swapped);
  Ref product = e.same("Conv", {images, kernels},
                       {{"strides", a.dilation},
                        {"pads", both(a.padding_low, a.padding_high)},
                        {"dilations", a.stride},
                        {"group", a.groups}});
  WAFER_CHECK(spatial > 0, "conv_weight_gradient without spatial dimensions");
  return {e.transpose(e.slice(product, starts, ends, axes), swapped)};
}

const RuleEntry contraction_table[] = {
    {&op::matmul, "MatMul, Gemm", matmul},
    {&op::conv, "Conv", conv},
    {&op::conv_input_gradient, "ConvTranspose", conv_input_gradient},
    {&op::conv_weight_gradient, "Conv", conv_weight_gradient},
};
}  // namespace

RuleList contraction_rules() {
  return contraction_table;
}

}  // namespace wafer::onnx::exporter
