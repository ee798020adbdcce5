#include "wafer/backend/cuda/api.h"

#include <memory>
#include <vector>

#include "wafer/backend/cuda/loader.h"
#include "wafer/base/error.h"

namespace wafer::cuda {

namespace {
Driver driver_of(Loader& loader) {
  Driver d{};
  loader.get(d.init, "cuInit");
  loader.get(d.error_name, "cuGetErrorName");
  loader.get(d.error_text, "cuGetErrorString");
  loader.get(d.version, "cuDriverGetVersion");
  loader.get(d.device_count, "cuDeviceGetCount");
  loader.get(d.device, "cuDeviceGet");
  loader.get(d.device_name, "cuDeviceGetName");
  loader.get(d.device_memory, "cuDeviceTotalMem_v2");
  loader.get(d.device_attribute, "cuDeviceGetAttribute");
  loader.get(d.retain_context, "cuDevicePrimaryCtxRetain");
  loader.get(d.release_context, "cuDevicePrimaryCtxRelease_v2");
  loader.get(d.set_context, "cuCtxSetCurrent");
  loader.get(d.allocate, "cuMemAlloc_v2");
  loader.get(d.free, "cuMemFree_v2");
  loader.get(d.allocate_pinned, "cuMemHostAlloc");
  loader.get(d.free_pinned, "cuMemFreeHost");
  loader.get(d.copy_to_device, "cuMemcpyHtoDAsync_v2");
  loader.get(d.copy_to_host, "cuMemcpyDtoHAsync_v2");
  loader.get(d.copy, "cuMemcpyDtoDAsync_v2");
  loader.get(d.fill_8, "cuMemsetD8Async");
  loader.get(d.fill_16, "cuMemsetD16Async");
  loader.get(d.fill_32, "cuMemsetD32Async");
  loader.get(d.fill_rows_32, "cuMemsetD2D32Async");
  loader.get(d.create_stream, "cuStreamCreate");
  loader.get(d.destroy_stream, "cuStreamDestroy_v2");
  loader.get(d.wait_for_stream, "cuStreamSynchronize");
  loader.get(d.stream_waits_for_event, "cuStreamWaitEvent");
  loader.get(d.begin_capture, "cuStreamBeginCapture_v2");
  loader.get(d.end_capture, "cuStreamEndCapture");
  loader.get(d.create_event, "cuEventCreate");
  loader.get(d.destroy_event, "cuEventDestroy_v2");
  loader.get(d.record_event, "cuEventRecord");
  loader.get(d.wait_for_event, "cuEventSynchronize");
  loader.get(d.elapsed_milliseconds, "cuEventElapsedTime");
  loader.get(d.load_module, "cuModuleLoadData");
  loader.get(d.unload_module, "cuModuleUnload");
  loader.get(d.function, "cuModuleGetFunction");
  loader.get(d.launch, "cuLaunchKernel");
  loader.get(d.instantiate_graph, "cuGraphInstantiateWithFlags");
  loader.get(d.launch_graph, "cuGraphLaunch");
  loader.get(d.destroy_executable_graph, "cuGraphExecDestroy");
  loader.get(d.destroy_graph, "cuGraphDestroy");
  return d;
}

Compiler compiler_of(Loader& loader) {
  Compiler c{};
  loader.get(c.version, "nvrtcVersion");
  loader.get(c.error_text, "nvrtcGetErrorString");
  loader.get(c.architecture_count, "nvrtcGetNumSupportedArchs");
  loader.get(c.architectures, "nvrtcGetSupportedArchs");
  loader.get(c.create, "nvrtcCreateProgram");
  loader.get(c.destroy, "nvrtcDestroyProgram");
  loader.get(c.compile, "nvrtcCompileProgram");
  loader.get(c.log_size, "nvrtcGetProgramLogSize");
  loader.get(c.log, "nvrtcGetProgramLog");
  loader.get(c.cubin_size, "nvrtcGetCUBINSize");
  loader.get(c.cubin, "nvrtcGetCUBIN");
  loader.get(c.ptx_size, "nvrtcGetPTXSize");
  loader.get(c.ptx, "nvrtcGetPTX");
  return c;
}

Blas blas_of(Loader& loader) {
  Blas b{};
  loader.get(b.error_text, "cublasLtGetStatusString");
  loader.get(b.create, "cublasLtCreate");
  loader.get(b.destroy, "cublasLtDestroy");
  loader.get(b.create_product, "cublasLtMatmulDescCreate");
  loader.get(b.destroy_product, "cublasLtMatmulDescDestroy");
  loader.get(b.set_product, "cublasLtMatmulDescSetAttribute");
  loader.get(b.create_layout, "cublasLtMatrixLayoutCreate");
  loader.get(b.destroy_layout, "cublasLtMatrixLayoutDestroy");
  loader.get(b.set_layout, "cublasLtMatrixLayoutSetAttribute");
  loader.get(b.create_preference, "cublasLtMatmulPreferenceCreate");
  loader.get(b.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  loader.get(b.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  loader.get(b.choose, "cublasLtMatmulAlgoGetHeuristic");
  loader.get(b.multiply, "cublasLtMatmul");
  return b;
}

}  // namespace

const Driver* load_driver(std::string& reason) {
  static const auto loaded = load<Driver>(
      {"libcuda.so.1"}, driver_of, "no NVIDIA driver is here (libcuda.so.1)", "the NVIDIA driver");
  return loaded.get(reason);
}

const Compiler* load_compiler(std::string& reason) {
  static const auto loaded = load<Compiler>(
      {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"},
      compiler_of,
      "CUDA's run-time compiler is not here (libnvrtc.so.13 or .12 of the CUDA toolkit)",
      "CUDA's run-time compiler");
  return loaded.get(reason);
}

const Blas* load_blas(std::string& reason) {
  static const auto loaded = load<Blas>(
      {"libcublasLt.so.13", "libcublasLt.so.12", "/usr/local/cuda/lib64/libcublasLt.so"}, blas_of,
      "cuBLASLt is not here (libcublasLt.so.13 or .12 of the CUDA toolkit)", "cuBLASLt");
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
