#include <unistd.h>

#include "wafer/backend/cpu/cpu.h"
#include "wafer/backend/null/null.h"
#include "wafer/backend/reference/reference.h"
#ifdef WAFER_OPENCL
#include "wafer/backend/opencl/opencl.h"
#endif
#include "wafer/runtime/registry.h"

namespace wafer {

namespace {
// A backend that this version has no code for, so that who asks for it hears why.
Backend no_cuda() {
  bool nvidia_driver = ::access("/dev/nvidiactl", F_OK) == 0;
  return {"cuda",
          {},
          nvidia_driver ? "an NVIDIA driver is here, but this version has no cuda backend"
                        : "no NVIDIA driver is here, and this version has no cuda backend"};
}

#ifdef WAFER_OPENCL
constexpr auto find_opencl = opencl::find_backend;
#else
Backend find_opencl() {
  return {"opencl", {}, "wafer was built without it: CMake found no OpenCL headers"};
}
#endif
}  // namespace

std::vector<BackendEntry> backend_table() {
  return {{"cpu", cpu::find_backend},
          {"reference", reference::find_backend},
          {"null", null::find_backend},
          {"cuda", no_cuda},
          {"opencl", find_opencl}};
}

}  // namespace wafer
