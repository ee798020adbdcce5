#include "wafer/backend/cuda/device.h"

#include "wafer/backend/cuda/captured_run.h"

namespace wafer::cuda {

void CudaDevice::trim() {
  HostDevice::trim();
  context_.trim();
}

void CudaDevice::run_program(const HostProgram& program, void* const* in, void* const* out,
                             std::byte* arena, const RunObserver* observer) {
  auto captured = std::static_pointer_cast<CapturedRun>(program.run_state);
  if (observer || !captured) return program.run(in, out, arena, observer);
  captured->run(program, in, out, arena);
}

}  // namespace wafer::cuda
