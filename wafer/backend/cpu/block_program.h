#pragma once
#include "wafer/kernel/program.h"
#include "wafer/runtime/kernel.h"

namespace wafer::cpu {

// A loop program ready to run on host memory: args.in and args.out are its inputs and outputs. An
// output may be the same memory as an input of equal type and layout.
struct LoopStep {
  Step run;
  size_t compiled = 0;  // instructions that are machine code; the others are interpreted
};
// `compiles` false interprets all of it, with the same results; tests compare the two.
LoopStep program_step(const kernel::Program& program, bool compiles = true);

}  // namespace wafer::cpu
