#include "wafer/pass/host/control_flow.h"

namespace wafer {

MakeKernel control_flow_kernel(const OpDef&) { return nullptr; }

}  // namespace wafer
