#pragma once
#include "wafer/backend/cpu/contraction.h"

namespace wafer::cpu::own {

// Convolution by its definition, in any floating dtype, layout and size, empty ones too. Sums in
// the dtype, f16 and bf16 in f32.
Step make_conv_plain(const ConvProblem& problem, const Epilogue& epilogue);
Step make_conv_input_gradient_plain(const ConvProblem& problem);
Step make_conv_weight_gradient_plain(const ConvProblem& problem);

}  // namespace wafer::cpu::own
