#pragma once
#include "wafer/backend/cuda/context.h"
#include "wafer/kernel/device/target.h"

namespace wafer::cuda {

// A device over a context: runs are captured as CUDA graphs.
class CudaDevice : public kernel::QueueDevice {
 public:
  CudaDevice(const std::string& name, Context& context)
      : QueueDevice(name, context), context_(context) {}
  void trim() override;

 protected:
  void run_program(const HostProgram& program, void* const* in, void* const* out, std::byte* arena,
                   const RunObserver* observer) override;

 private:
  Context& context_;
};

}  // namespace wafer::cuda
