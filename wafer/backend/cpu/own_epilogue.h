#pragma once
#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/simd/finish.h"

namespace wafer::cpu::own {

// Applies the epilogue to a finished result of `y`, whose bias runs along dimension `bias_axis`.
void apply_epilogue(const Epilogue& epilogue, const Type& y, int bias_axis, const StepArgs& args);

// The epilogue of an f32 result for kernels that apply it themselves.
Finish finish_of(const Epilogue& epilogue, const StepArgs& args);

}  // namespace wafer::cpu::own
