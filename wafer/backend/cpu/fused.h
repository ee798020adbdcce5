#pragma once
#include "wafer/kernel/program.h"
#include "wafer/runtime/kernel.h"

namespace wafer::cpu {

// Makes a loop program ready to run on host memory: args.in and args.out are its inputs and
// outputs. An output may be the same memory as an input of equal type and layout. Not to compile
// what can be gives the same.
Step program_step(const kernel::Program& program, bool compiles = true);

// The step of one element-wise node, or of a `fused` one.
Step elementwise_step(const Node& node, KernelContext& context);

}  // namespace wafer::cpu
