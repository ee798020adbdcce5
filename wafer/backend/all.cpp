#include <unistd.h>

#include "wafer/backend/cpu/cpu.h"
#include "wafer/backend/null/null.h"
#include "wafer/backend/reference/reference.h"
#include "wafer/runtime/registry.h"

namespace wafer {

namespace {
// Backends that this version has no code for, so that who asks for one hears why.
std::vector<Backend> not_built() {
  bool nvidia_driver = ::access("/dev/nvidiactl", F_OK) == 0;
  return {{"cuda",
           {},
           nvidia_driver ? "an NVIDIA driver is here, but this version has no cuda backend"
                         : "no NVIDIA driver is here, and this version has no cuda backend"},
          {"opencl", {}, "this version has no opencl backend"}};
}
}  // namespace

std::vector<Backend> find_backends() {
  std::vector<Backend> found{cpu::find_backend(), reference::find_backend(), null::find_backend()};
  for (Backend& backend : not_built()) found.push_back(std::move(backend));
  return found;
}

}  // namespace wafer
