#pragma once
#include "wafer/backend/cpu/own_conv.h"

// Convolutions of 3 by 3 in f32 by Winograd's F(4x4, 3x3), which multiplies a quarter as often as
// their definition. Errors are 2 to 3 times those of a
// plain sum in f32.
namespace wafer::cpu::own {

// Whether the forward convolution and both gradients of such a problem can be computed so: one
// group, stride and dilation 1, channels-last, channels and outputs multiples of 16.
bool is_winograd(const ConvProblem& problem);
// Whether that is expected to be faster than a direct convolution.
bool is_winograd_faster(const ConvProblem& problem, Pass pass);

Step make_winograd(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_winograd_input_gradient(const ConvProblem& problem, KernelContext& context);
Step make_winograd_weight_gradient(const ConvProblem& problem, KernelContext& context);

}  // namespace wafer::cpu::own
