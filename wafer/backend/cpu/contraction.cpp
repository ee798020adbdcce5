#include "wafer/backend/cpu/contraction.h"

#include "wafer/backend/cpu/own_conv.h"
#include "wafer/op/conv.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"

namespace wafer::cpu {

namespace {
const void* constant_values(const Tensor& value) {
  const Node& node = value.node();
  bool here = node.is(op::constant) && node.values[0]->on_host();
  return here ? node.values[0]->data() : nullptr;
}
}  // namespace

ConvProblem conv_problem(const Node& node) {
  auto with = [&](const auto& a, const Type& x, const Type& weight, const Type& y) {
    return ConvProblem{x, weight, y, a.stride, a.padding_low, a.padding_high, a.dilation, a.groups};
  };
  const Type &first = node.inputs[0].type(), &second = node.inputs[1].type();
  const Type& result = node.outputs[0];
  if (node.is(op::conv)) {
    ConvProblem problem = with(node.attr<ConvAttrs>(), first, second, result);
    problem.weight_values = constant_values(node.inputs[1]);
    return problem;
  }
  const auto& attrs = node.attr<ConvGradientAttrs>();
  if (node.is(op::conv_input_gradient)) return with(attrs, result, second, first);
  return with(attrs, first, result, second);
}

MatmulProblem matmul_problem(const Node& node) {
  const auto& attrs = node.attr<MatmulAttrs>();
  return {node.inputs[0].type(), node.inputs[1].type(), node.outputs[0],
          attrs.transpose_a,     attrs.transpose_b,     constant_values(node.inputs[1])};
}

namespace {
#ifdef WAFER_ONEDNN
// oneDNN computes neither f64 nor whole numbers here, and knows no empty tensors.
bool suits_onednn(std::initializer_list<const Type*> types) {
  for (const Type* type : types) {
    if (type->elements() == 0) return false;
    if (type->dtype != DType::f32 && type->dtype != DType::bf16) return false;
  }
  return true;
}
#endif
}  // namespace

Step make_conv(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context) {
  if (own::is_winograd_faster(problem, own::ConvKind::forward))
    return own::make_winograd(problem, epilogue, context);
  if (own::is_pointwise_faster(problem, own::ConvKind::forward))
    return own::make_pointwise(problem, epilogue, context);
  if (own::is_depthwise_faster(problem)) return own::make_depthwise(problem, epilogue, context);
#ifdef WAFER_ONEDNN
  if (suits_onednn({&problem.x, &problem.weight, &problem.y})) {
    if (Step step = onednn::make_conv(problem, epilogue, context)) return step;
  }
#endif
  return own::make_conv(problem, epilogue, context);
}

Step make_conv_input_gradient(const ConvProblem& problem, KernelContext& context) {
  if (own::is_winograd_faster(problem, own::ConvKind::input_gradient))
    return own::make_winograd_input_gradient(problem, context);
#ifdef WAFER_ONEDNN
  if (suits_onednn({&problem.x, &problem.weight, &problem.y})) {
    if (Step step = onednn::make_conv_input_gradient(problem, context)) return step;
  }
#endif
  return own::make_conv_input_gradient(problem, context);
}

Step make_conv_weight_gradient(const ConvProblem& problem, KernelContext& context) {
  if (own::is_winograd_faster(problem, own::ConvKind::weight_gradient))
    return own::make_winograd_weight_gradient(problem, context);
  if (own::is_pointwise_faster(problem, own::ConvKind::weight_gradient))
    return own::make_pointwise_weight_gradient(problem, context);
#ifdef WAFER_ONEDNN
  if (suits_onednn({&problem.x, &problem.weight, &problem.y})) {
    if (Step step = onednn::make_conv_weight_gradient(problem, context)) return step;
  }
#endif
  return own::make_conv_weight_gradient(problem, context);
}

Step make_matmul(const MatmulProblem& given, const Epilogue& epilogue, KernelContext& context) {
  MatmulProblem problem = given;
  problem.b_lasts = context.lasts(1);
#ifdef WAFER_ONEDNN
  bool suits = suits_onednn({&problem.a, &problem.b, &problem.y});
  if (suits && !own::is_matmul_faster(problem)) {
    if (Step step = onednn::make_matmul(problem, epilogue, context)) return step;
  }
#endif
  return own::make_matmul(problem, epilogue, context);
}

Step make_contraction_group(const Node& node, const ContractionGroup& group,
                            KernelContext& context) {
  Epilogue epilogue{group.bias, group.residual, group.relu, group.limit};
  if (group.bias >= 0) {
    epilogue.wide_bias = node.inputs[static_cast<size_t>(group.bias)].dtype() == DType::f32;
  }
  const Node& contraction = *group.contraction;
  if (contraction.is(op::conv)) {
    ConvProblem problem = conv_problem(contraction);
    problem.weight_values = constant_values(node.inputs[1]);
    return make_conv(problem, epilogue, context);
  }
  MatmulProblem problem = matmul_problem(contraction);
  problem.b_values = constant_values(node.inputs[1]);
  return make_matmul(problem, epilogue, context);
}

WAFER_KERNEL(conv) {
  return make_conv(conv_problem(node), {}, context);
}
WAFER_KERNEL(conv_input_gradient) {
  return make_conv_input_gradient(conv_problem(node), context);
}
WAFER_KERNEL(conv_weight_gradient) {
  return make_conv_weight_gradient(conv_problem(node), context);
}
WAFER_KERNEL(matmul) {
  return make_matmul(matmul_problem(node), {}, context);
}

}  // namespace wafer::cpu
