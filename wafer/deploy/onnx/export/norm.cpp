#include "wafer/op/norm.h"

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::onnx::exporter {

namespace {
Refs softmax_as(Emitter& e, const Node& node, const char* name) {
  return {e.same(name, {e.in(node.inputs[0])}, {{"axis", node.attr<AxisAttrs>().axis}})};
}
Refs softmax(Emitter& e, const Node& node) {
  return softmax_as(e, node, "Softmax");
}
Refs log_softmax(Emitter& e, const Node& node) {
  return softmax_as(e, node, "LogSoftmax");
}

bool one_dtype(const Node& node) {
  for (const Tensor& input : node.inputs)
    if (input.dtype() != node.inputs[0].dtype()) return false;
  return true;
}

Refs batch_norm_inference(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]), mean = e.in(node.inputs[1]), variance = e.in(node.inputs[2]);
  Ref weight = e.in(node.inputs[3]), bias = e.in(node.inputs[4]);
  return {e.op("BatchNormalization", {x, weight, bias, mean, variance}, x.dtype,
               {{"epsilon", node.attr<BatchNormAttrs>().epsilon}})};
}
std::string refuses_batch_norm(const Node& node, int64_t, const Used&) {
  if (node.inputs[0].rank() < 2) return "BatchNormalization takes [batch, channels, ...]";
  double epsilon = node.attr<BatchNormAttrs>().epsilon;
  if (node.inputs[0].dtype() == DType::f64 && epsilon != static_cast<float>(epsilon))
    return "its epsilon would be rounded to f32";
  return one_dtype(node) ? "" : "statistics of another dtype";
}

// x, and the weight or ones.
Refs scaled(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  if (node.inputs.size() > 1) return {x, e.in(node.inputs[1])};
  Ints sizes;
  const Shape& shape = node.inputs[0].shape();
  auto dimensions = static_cast<int>(node.attr<LayerNormAttrs>().dimensions);
  for (int d = shape.rank() - dimensions; d < shape.rank(); ++d) sizes.push_back(shape.size(d));
  return {x, e.ones(sizes, x.dtype)};
}
Settings norm_settings(const Node& node) {
  const auto& attrs = node.attr<LayerNormAttrs>();
  return {{"axis", -attrs.dimensions}, {"epsilon", attrs.epsilon}};
}
// Both compute in f32 whatever comes in.
std::string refuses_norm(const Node& node, int64_t, const Used& used) {
  for (size_t i = 1; i < used.size(); ++i)
    if (used[i]) return "its statistics are read";
  if (node.inputs[0].dtype() == DType::f64) return "it would compute in f32";
  return one_dtype(node) ? "" : "weights of another dtype";
}

Refs layer_norm(Emitter& e, const Node& node) {
  Refs in = scaled(e, node);
  if (node.inputs.size() > 2) in.push_back(e.in(node.inputs[2]));
  return {e.op("LayerNormalization", in, in[0].dtype, norm_settings(node))};
}

Refs rms_norm(Emitter& e, const Node& node) {
  Refs in = scaled(e, node);
  return {e.op("RMSNormalization", in, in[0].dtype, norm_settings(node))};
}
std::string refuses_rms_norm(const Node& node, int64_t opset, const Used& used) {
  if (opset < 23) return "RMSNormalization came with operator set 23";
  return refuses_norm(node, opset, used);
}

const RuleEntry norm_table[] = {
    {&op::softmax, "Softmax", softmax},
    {&op::log_softmax, "LogSoftmax", log_softmax},
    {&op::batch_norm_inference, "BatchNormalization", batch_norm_inference, refuses_batch_norm},
    {&op::layer_norm, "LayerNormalization", layer_norm, refuses_norm},
    {&op::rms_norm, "RMSNormalization", rms_norm, refuses_rms_norm},
};
}  // namespace

RuleList norm_rules() {
  return norm_table;
}

}  // namespace wafer::onnx::exporter
