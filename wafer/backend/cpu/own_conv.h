#pragma once
#include "wafer/backend/cpu/contraction.h"

namespace wafer::cpu::own {

// Convolution by its definition, in any floating dtype, layout and size, empty ones too. Sums in
// the dtype, f16 and bf16 in f32.
Step make_conv_plain(const ConvProblem& problem, const Epilogue& epilogue);
Step make_conv_input_gradient_plain(const ConvProblem& problem);
Step make_conv_weight_gradient_plain(const ConvProblem& problem);

// Convolution of each channel by itself, in f32, f16 and bf16.
bool is_depthwise(const ConvProblem& problem);
bool is_depthwise_faster(const ConvProblem& problem);  // than oneDNN's, forward
Step make_depthwise(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_depthwise_input_gradient(const ConvProblem& problem, KernelContext& context);
Step make_depthwise_weight_gradient(const ConvProblem& problem, KernelContext& context);

// Which of the three a step computes.
enum class ConvKind { forward, input_gradient, weight_gradient };

// The following take channels-last f32 alone. is_..._faster: whether one of them is expected to
// take less time than a direct convolution, oneDNN's where it is built in.

// Of windows of one position, as products of matrices.
bool is_pointwise_faster(const ConvProblem& problem, ConvKind kind);
Step make_pointwise(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_pointwise_weight_gradient(const ConvProblem& problem, KernelContext& context);

// Of windows of 3 by 3 by Winograd's F(4x4, 3x3), which multiplies a quarter as often as their
// definition. Errors are 2 to 3 times those of a plain sum in f32.
bool is_winograd(const ConvProblem& problem);  // whether it can be computed so, all three kinds
bool is_winograd_faster(const ConvProblem& problem, ConvKind kind);
Step make_winograd(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_winograd_input_gradient(const ConvProblem& problem, KernelContext& context);
Step make_winograd_weight_gradient(const ConvProblem& problem, KernelContext& context);

}  // namespace wafer::cpu::own
