#include "wafer/backend/reference/reference.h"

#include <unordered_map>

#include "wafer/op/op.h"

namespace wafer::reference {

#define WAFER_KERNEL_ENTRY(op_name) Step kernel_##op_name(const Node&, KernelContext&);
#include "reference_kernels.inc"
#undef WAFER_KERNEL_ENTRY

MakeKernel find_kernel(const OpDef& op) {
  static const std::unordered_map<const OpDef*, MakeKernel> table = {
#define WAFER_KERNEL_ENTRY(op_name) {&op::op_name, kernel_##op_name},
#include "reference_kernels.inc"
#undef WAFER_KERNEL_ENTRY
  };
  auto found = table.find(&op);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace wafer::reference
