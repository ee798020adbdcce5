#include "wafer/backend/cpu/cpu.h"
#include "wafer/backend/null/null.h"
#include "wafer/backend/reference/reference.h"
#include "wafer/runtime/registry.h"

namespace wafer {

std::vector<Backend> find_backends() {
  return {cpu::find_backend(), reference::find_backend(), null::find_backend()};
}

}  // namespace wafer
