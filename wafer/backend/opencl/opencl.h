#pragma once
#include "wafer/runtime/registry.h"

// Anything with OpenCL 1.2: the shared lowering, fusion and memory plan; kernels printed from the
// loop IR and from templates in OpenCL C; values that stay on the device between runs.
namespace wafer::opencl {

// A device for each that the drivers list: "opencl:0", "opencl:1", ... A driver that crashes when
// it is asked is absent with that reason.
Backend find_backend();

}  // namespace wafer::opencl
