#include <unistd.h>

#include "wafer/backend/cpu/cpu.h"
#include "wafer/backend/null/null.h"
#include "wafer/backend/reference/reference.h"
#ifdef WAFER_OPENCL
#include "wafer/backend/opencl/opencl.h"
#endif
#include "wafer/runtime/plugin.h"
#include "wafer/runtime/registry.h"

namespace wafer {

namespace {
// Loaded from a library of its own, so that wafer starts where CUDA is not.
Backend find_cuda() {
  Backend cuda = load_plugin("cuda");
  bool driver = ::access("/dev/nvidiactl", F_OK) == 0;
  if (cuda.devices.empty() && driver) cuda.absent_reason += " (an NVIDIA driver is here)";
  return cuda;
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
          {"cuda", find_cuda},
          {"opencl", find_opencl}};
}

}  // namespace wafer
