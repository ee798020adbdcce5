#include "wafer/runtime/plugin.h"

#include "wafer/backend/cuda/device.h"
#include "wafer/base/env.h"
#include "wafer/base/error.h"
#include "wafer/base/log.h"

// The plug-in libwafer_cuda.so: what it gives to libwafer.
namespace wafer::cuda {

namespace {
// "cuda:0", "cuda:1", ... in the driver's order, or the reason why there is none.
Backend find_backend() {
  Backend backend{"cuda", {}, ""};
  try {
    const Driver* driver = load_driver(backend.absent_reason);
    if (!driver) return backend;
    if (CUresult result = driver->init(0); result != CUDA_SUCCESS) {
      backend.absent_reason = "the NVIDIA driver does not start: " + result_text(*driver, result);
      return backend;
    }
    int count = 0;
    check(*driver, driver->device_count(&count), "counting devices");
    if (count == 0) {
      backend.absent_reason = "the NVIDIA driver lists no device";
      return backend;
    }
    const Compiler* compiler = load_compiler(backend.absent_reason);
    if (!compiler) return backend;
    std::string without_blas, without_dnn;
    const Blas* blas = load_blas(without_blas);
    if (!blas) log(LogLevel::info, "cuda: products are our own kernels: " + without_blas);
    const Dnn* dnn = load_dnn(without_dnn);
    if (!dnn) log(LogLevel::info, "cuda: convolutions are products: " + without_dnn);
    ContextOptions options{.chunked = true, .check = environment("WAFER_CUDA_CHECK").has_value()};
    for (int i = 0; i < count; ++i) {
      CUdevice device = 0;
      check(*driver, driver->device(&device, i), "asking for a device");
      // Never destroyed, see QueueDevice; the list keeps them in reach.
      static auto* contexts = new std::vector<Context*>();
      contexts->push_back(new Context(*driver, *compiler, blas, dnn, device, options));
      backend.devices.push_back(
          std::make_shared<CudaDevice>(str("cuda:", backend.devices.size()), *contexts->back()));
    }
    backend.absent_reason.clear();
  } catch (const std::exception& error) {
    if (backend.devices.empty()) backend.absent_reason = error.what();
  }
  return backend;
}

const PluginEntry entry = {plugin_version, WAFER_VERSION, find_backend};
}  // namespace

}  // namespace wafer::cuda

extern "C" const wafer::PluginEntry* wafer_plugin() {
  return &wafer::cuda::entry;
}
