#include "wafer/backend/cuda/api.h"

#include <memory>
#include <vector>

#include "wafer/base/error.h"
#include "wafer/base/library.h"

namespace wafer::cuda {

namespace {
Driver driver_of(LibraryFunctions& library) {
  Driver d{};
  library.get(d.init, "cuInit");
  library.get(d.error_name, "cuGetErrorName");
  library.get(d.error_text, "cuGetErrorString");
  library.get(d.version, "cuDriverGetVersion");
  library.get(d.device_count, "cuDeviceGetCount");
  library.get(d.device, "cuDeviceGet");
  library.get(d.device_name, "cuDeviceGetName");
  library.get(d.device_memory, "cuDeviceTotalMem_v2");
  library.get(d.device_attribute, "cuDeviceGetAttribute");
  library.get(d.retain_context, "cuDevicePrimaryCtxRetain");
  library.get(d.release_context, "cuDevicePrimaryCtxRelease_v2");
  library.get(d.set_context, "cuCtxSetCurrent");
  library.get(d.allocate, "cuMemAlloc_v2");
  library.get(d.free, "cuMemFree_v2");
  library.get(d.allocate_pinned, "cuMemHostAlloc");
  library.get(d.free_pinned, "cuMemFreeHost");
  library.get(d.copy_to_device, "cuMemcpyHtoDAsync_v2");
  library.get(d.copy_to_host, "cuMemcpyDtoHAsync_v2");
  library.get(d.copy, "cuMemcpyDtoDAsync_v2");
  library.get(d.fill_8, "cuMemsetD8Async");
  library.get(d.fill_16, "cuMemsetD16Async");
  library.get(d.fill_32, "cuMemsetD32Async");
  library.get(d.fill_rows_32, "cuMemsetD2D32Async");
  library.get(d.create_stream, "cuStreamCreate");
  library.get(d.destroy_stream, "cuStreamDestroy_v2");
  library.get(d.wait_for_stream, "cuStreamSynchronize");
  library.get(d.stream_waits_for_event, "cuStreamWaitEvent");
  library.get(d.begin_capture, "cuStreamBeginCapture_v2");
  library.get(d.end_capture, "cuStreamEndCapture");
  library.get(d.create_event, "cuEventCreate");
  library.get(d.destroy_event, "cuEventDestroy_v2");
  library.get(d.record_event, "cuEventRecord");
  library.get(d.wait_for_event, "cuEventSynchronize");
  library.get(d.elapsed_milliseconds, "cuEventElapsedTime");
  library.get(d.load_module, "cuModuleLoadData");
  library.get(d.unload_module, "cuModuleUnload");
  library.get(d.function, "cuModuleGetFunction");
  library.get(d.launch, "cuLaunchKernel");
  library.get(d.instantiate_graph, "cuGraphInstantiateWithFlags");
  library.get(d.launch_graph, "cuGraphLaunch");
  library.get(d.destroy_executable_graph, "cuGraphExecDestroy");
  library.get(d.destroy_graph, "cuGraphDestroy");
  return d;
}

Compiler compiler_of(LibraryFunctions& library) {
  Compiler c{};
  library.get(c.version, "nvrtcVersion");
  library.get(c.error_text, "nvrtcGetErrorString");
  library.get(c.architecture_count, "nvrtcGetNumSupportedArchs");
  library.get(c.architectures, "nvrtcGetSupportedArchs");
  library.get(c.create, "nvrtcCreateProgram");
  library.get(c.destroy, "nvrtcDestroyProgram");
  library.get(c.compile, "nvrtcCompileProgram");
  library.get(c.log_size, "nvrtcGetProgramLogSize");
  library.get(c.log, "nvrtcGetProgramLog");
  library.get(c.cubin_size, "nvrtcGetCUBINSize");
  library.get(c.cubin, "nvrtcGetCUBIN");
  library.get(c.ptx_size, "nvrtcGetPTXSize");
  library.get(c.ptx, "nvrtcGetPTX");
  return c;
}

Blas blas_of(LibraryFunctions& library) {
  Blas b{};
  library.get(b.error_text, "cublasLtGetStatusString");
  library.get(b.create, "cublasLtCreate");
  library.get(b.destroy, "cublasLtDestroy");
  library.get(b.create_product, "cublasLtMatmulDescCreate");
  library.get(b.destroy_product, "cublasLtMatmulDescDestroy");
  library.get(b.set_product, "cublasLtMatmulDescSetAttribute");
  library.get(b.create_layout, "cublasLtMatrixLayoutCreate");
  library.get(b.destroy_layout, "cublasLtMatrixLayoutDestroy");
  library.get(b.set_layout, "cublasLtMatrixLayoutSetAttribute");
  library.get(b.create_preference, "cublasLtMatmulPreferenceCreate");
  library.get(b.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  library.get(b.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  library.get(b.choose, "cublasLtMatmulAlgoGetHeuristic");
  library.get(b.multiply, "cublasLtMatmul");
  return b;
}

}  // namespace

const Driver* load_driver(std::string& reason) {
  static const auto loaded =
      load_table<Driver>({"libcuda.so.1"}, driver_of, "no NVIDIA driver is here (libcuda.so.1)",
                         "the NVIDIA driver", "CUDA 12");
  return loaded.get(reason);
}

const Compiler* load_compiler(std::string& reason) {
  static const auto loaded = load_table<Compiler>(
      {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"},
      compiler_of,
      "CUDA's run-time compiler is not here (libnvrtc.so.13 or .12 of the CUDA toolkit)",
      "CUDA's run-time compiler", "CUDA 12");
  return loaded.get(reason);
}

const Blas* load_blas(std::string& reason) {
  static const auto loaded = load_table<Blas>(
      {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so"}, blas_of,
      "cuBLASLt is not here (libcublasLt.so.13 or .12 of the CUDA toolkit)", "cuBLASLt", "CUDA 12");
  return loaded.get(reason);
}

std::string result_text(const Driver& driver, CUresult result) {
  const char *name = nullptr, *text = nullptr;
  driver.error_name(result, &name);
  driver.error_text(result, &text);
  return str(text ? text : "error", " (", name ? name : std::to_string(result), ")");
}

void check(const Driver& driver, CUresult result, const std::string& what) {
  if (result == CUDA_SUCCESS) return;
  std::string text = str(what, ": ", result_text(driver, result));
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    throw UserError("cuda", text, {.hint = "use a smaller batch or model, or free memory"});
  throw InternalError("CUDA: " + text);
}

std::string version_of(const Compiler& compiler) {
  int major = 0, minor = 0;
  compiler.version(&major, &minor);
  return str(major, ".", minor);
}

Architecture choose_architecture(const Compiler& compiler, int capability) {
  int count = 0;
  if (compiler.architecture_count(&count) != NVRTC_SUCCESS || count <= 0) return {};
  std::vector<int> known(static_cast<size_t>(count));
  if (compiler.architectures(known.data()) != NVRTC_SUCCESS) return {};
  int best = 0;
  for (int each : known) {
    if (each <= capability && each > best) best = each;
  }
  if (best == 0) return {};
  // Machine code also runs on later devices of the same generation.
  bool same = best / 10 == capability / 10;
  return {str(same ? "sm_" : "compute_", best), same};
}

std::string compile_source(const Compiler& compiler, const std::string& source,
                           const Architecture& architecture) {
  nvrtcProgram program = nullptr;
  auto checked = [&](nvrtcResult result, const char* what) {
    if (result != NVRTC_SUCCESS)
      throw InternalError(str("CUDA: ", what, ": ", compiler.error_text(result)));
  };
  checked(compiler.create(&program, source.c_str(), "wafer.cu", 0, nullptr, nullptr),
          "taking a kernel's source");
  std::shared_ptr<void> destroyed(nullptr, [&](void*) { compiler.destroy(&program); });
  std::string target = "--gpu-architecture=" + architecture.option;
  const char* options[] = {target.c_str(), "--fmad=false", "--std=c++17"};
  nvrtcResult result = compiler.compile(program, 3, options);
  if (result != NVRTC_SUCCESS) {
    size_t size = 0;
    compiler.log_size(program, &size);
    std::string log(size, '\0');
    compiler.log(program, log.data());
    throw InternalError(str("CUDA: a kernel does not compile for ", architecture.option, ": ",
                            compiler.error_text(result), "\n", log.c_str(), "\n", source));
  }
  size_t size = 0;
  bool machine_code = architecture.is_machine_code;
  checked(machine_code ? compiler.cubin_size(program, &size) : compiler.ptx_size(program, &size),
          "asking for the compiled code's size");
  std::string code(size, '\0');
  checked(machine_code ? compiler.cubin(program, code.data()) : compiler.ptx(program, code.data()),
          "taking the compiled code");
  return code;
}

}  // namespace wafer::cuda
