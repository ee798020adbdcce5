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
Step make_depthwise(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_depthwise_input_gradient(const ConvProblem& problem, KernelContext& context);
Step make_depthwise_weight_gradient(const ConvProblem& problem, KernelContext& context);

enum class Pass { forward, input_gradient, weight_gradient };

// Convolutions whose windows are one position, as products of matrices, in f32. Whether they are
// expected to be faster so than by oneDNN.
bool is_pointwise_faster(const ConvProblem& problem, Pass pass);
Step make_pointwise(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_pointwise_weight_gradient(const ConvProblem& problem, KernelContext& context);

}  // namespace wafer::cpu::own
