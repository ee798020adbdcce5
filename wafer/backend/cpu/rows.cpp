#include "wafer/backend/cpu/rows.h"

#include <algorithm>

#include "wafer/op/loss.h"
#include "wafer/op/norm.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::cpu {

namespace {
bool computes_in_f32(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

// Classes in rows: [batch, classes] and one index each, every class weighing the same.
bool is_plain_cross_entropy(const Node& node, size_t first) {
  const auto& attrs = node.attr<CrossEntropyAttrs>();
  const Tensor &logits = node.inputs[first], &targets = node.inputs[first + 1];
  return logits.rank() == 2 && is_integer(targets.dtype()) && attrs.label_smoothing == 0 &&
         node.inputs.size() == (first == 0 ? 2u : 4u);
}
bool inputs_have_elements(const Node& node) {
  return std::all_of(node.inputs.begin(), node.inputs.end(), [](const Tensor& input) {
    return input.shape().is_static() && input.elements() > 0;
  });
}

bool is_attention(const Node& node) {
  return node.is(op::scaled_dot_product_attention) ||
         node.is(op::scaled_dot_product_attention_gradient);
}

std::string why_attention_is_decomposed(const Node& node) {
  DType dtype = node.outputs[0].dtype;
  if (dtype != DType::f32 && !(dtype == DType::bf16 && multiplies_bf16()))
    return "its kernel is for f32, and for bf16 where this CPU multiplies it";
  if (!inputs_have_elements(node)) return "its kernel is for shapes with elements";
  size_t mask = node.is(op::scaled_dot_product_attention) ? 3 : 4;
  if (node.inputs.size() > mask && node.inputs[mask].dtype() == DType::bf16)
    return "its kernel is for masks that are boolean or f32";
  return "";
}
}  // namespace

std::string why_decomposed(const Node& node) {
  if (node.op->is_primitive() || node.op->elementwise || node.inputs.empty()) return "";
  bool is_softmax = node.is(op::softmax) || node.is(op::log_softmax);
  bool is_loss = node.is(op::cross_entropy) || node.is(op::cross_entropy_gradient);
  bool is_norm = node.is(op::layer_norm) || node.is(op::layer_norm_gradient) ||
                 node.is(op::rms_norm) || node.is(op::rms_norm_gradient) ||
                 node.is(op::batch_norm) || node.is(op::batch_norm_gradient);
  if (is_attention(node)) return why_attention_is_decomposed(node);
  if (!is_softmax && !is_loss && !is_norm) return "";
  if (!computes_in_f32(node.outputs[0].dtype)) return "its kernel computes in f32";
  for (const Type& type : node.outputs) {
    if (!type.shape.is_static() || (type.elements() == 0 && !is_loss))
      return "its kernel is for shapes with elements";
  }
  if (!inputs_have_elements(node)) return "its kernel is for shapes with elements";
  if (is_softmax && node.attr<AxisAttrs>().axis != node.inputs[0].rank() - 1)
    return "its kernel is for the last axis";
  if (is_loss && !is_plain_cross_entropy(node, node.is(op::cross_entropy) ? 0 : 1))
    return "its kernel is for class indices of [batch, classes] without weights or smoothing";
  return "";
}

}  // namespace wafer::cpu
