#pragma once
#include "wafer/backend/cpu/contraction.h"

namespace wafer::cpu::own {

// Applies the epilogue to a finished result of `y`, whose bias runs along dimension `bias_axis`.
void apply_epilogue(const Epilogue& epilogue, const Type& y, int bias_axis, const StepArgs& args);

}  // namespace wafer::cpu::own
