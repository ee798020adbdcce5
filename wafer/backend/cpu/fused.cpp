#include "wafer/backend/cpu/fused.h"

#include "wafer/backend/cpu/block_program.h"
#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/isa.h"

namespace wafer::cpu {

Step elementwise_step(const Node& node, KernelContext& context) {
  LoopStep loop = program_step(kernel::build_program(node, context.output_used));
  context.kernel = str(loop.compiled > 0 ? "code:" : "blocks:", name(isa()));
  return loop.run;
}

WAFER_KERNEL(fused) {
  if (auto group = contraction_group(node)) return make_contraction_group(node, *group, context);
  return elementwise_step(node, context);
}

}  // namespace wafer::cpu
