#pragma once
#include <cublasLt.h>
#include <cuda.h>
#include <nvrtc.h>

#include <string>

// The functions of CUDA's driver, of its run-time compiler and of cuBLASLt that this backend calls,
// as tables that a test may fill with functions of its own. The libraries are opened when somebody
// first asks for a device; nothing links against them.
namespace wafer::cuda {

struct Driver {
  decltype(&::cuInit) init;
  decltype(&::cuGetErrorName) error_name;
  decltype(&::cuGetErrorString) error_text;
  decltype(&::cuDriverGetVersion) version;
  decltype(&::cuDeviceGetCount) device_count;
  decltype(&::cuDeviceGet) device;
  decltype(&::cuDeviceGetName) device_name;
  decltype(&::cuDeviceTotalMem) device_memory;
  decltype(&::cuDeviceGetAttribute) device_attribute;
  decltype(&::cuDevicePrimaryCtxRetain) retain_context;
  decltype(&::cuDevicePrimaryCtxRelease) release_context;
  decltype(&::cuCtxSetCurrent) set_context;
  decltype(&::cuMemAlloc) allocate;
  decltype(&::cuMemFree) free;
  decltype(&::cuMemHostAlloc) allocate_pinned;
  decltype(&::cuMemFreeHost) free_pinned;
  decltype(&::cuMemcpyHtoDAsync) copy_to_device;
  decltype(&::cuMemcpyDtoHAsync) copy_to_host;
  decltype(&::cuMemcpyDtoDAsync) copy;
  decltype(&::cuMemsetD8Async) fill_8;
  decltype(&::cuMemsetD16Async) fill_16;
  decltype(&::cuMemsetD32Async) fill_32;
  decltype(&::cuMemsetD2D32Async) fill_rows_32;
  decltype(&::cuStreamCreate) create_stream;
  decltype(&::cuStreamDestroy) destroy_stream;
  decltype(&::cuStreamSynchronize) wait_for_stream;
  decltype(&::cuStreamWaitEvent) stream_waits_for_event;
  decltype(&::cuStreamBeginCapture) begin_capture;
  decltype(&::cuStreamEndCapture) end_capture;
  decltype(&::cuEventCreate) create_event;
  decltype(&::cuEventDestroy) destroy_event;
  decltype(&::cuEventRecord) record_event;
  decltype(&::cuEventSynchronize) wait_for_event;
  decltype(&::cuEventElapsedTime) elapsed_milliseconds;
  decltype(&::cuModuleLoadData) load_module;
  decltype(&::cuModuleUnload) unload_module;
  decltype(&::cuModuleGetFunction) function;
  decltype(&::cuLaunchKernel) launch;
  decltype(&::cuGraphInstantiateWithFlags) instantiate_graph;
  decltype(&::cuGraphLaunch) launch_graph;
  decltype(&::cuGraphExecDestroy) destroy_executable_graph;
  decltype(&::cuGraphDestroy) destroy_graph;
};

struct Compiler {
  decltype(&::nvrtcVersion) version;
  decltype(&::nvrtcGetErrorString) error_text;
  decltype(&::nvrtcGetNumSupportedArchs) architecture_count;
  decltype(&::nvrtcGetSupportedArchs) architectures;
  decltype(&::nvrtcCreateProgram) create;
  decltype(&::nvrtcDestroyProgram) destroy;
  decltype(&::nvrtcCompileProgram) compile;
  decltype(&::nvrtcGetProgramLogSize) log_size;
  decltype(&::nvrtcGetProgramLog) log;
  decltype(&::nvrtcGetCUBINSize) cubin_size;
  decltype(&::nvrtcGetCUBIN) cubin;
  decltype(&::nvrtcGetPTXSize) ptx_size;
  decltype(&::nvrtcGetPTX) ptx;
};

struct Blas {
  decltype(&::cublasLtGetStatusString) error_text;
  decltype(&::cublasLtCreate) create;
  decltype(&::cublasLtDestroy) destroy;
  decltype(&::cublasLtMatmulDescCreate) create_product;
  decltype(&::cublasLtMatmulDescDestroy) destroy_product;
  decltype(&::cublasLtMatmulDescSetAttribute) set_product;
  decltype(&::cublasLtMatrixLayoutCreate) create_layout;
  decltype(&::cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&::cublasLtMatrixLayoutSetAttribute) set_layout;
  decltype(&::cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&::cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) choose;
  decltype(&::cublasLtMatmul) multiply;
};

// The functions of cuDNN: dnn.h, since its header is not everywhere that CUDA's are.
struct Dnn;

// The functions of libcuda.so.1, of libnvrtc, of libcublasLt and of libcudnn, or null with the
// reason.
const Driver* load_driver(std::string& reason);
const Compiler* load_compiler(std::string& reason);
const Blas* load_blas(std::string& reason);
const Dnn* load_dnn(std::string& reason);

// "out of memory (CUDA_ERROR_OUT_OF_MEMORY)".
std::string result_text(const Driver& driver, CUresult result);
// Throws unless the call succeeded: UserError where memory is short, else InternalError with `what`
// was being done.
void check(const Driver& driver, CUresult result, const std::string& what);

// A source compiled for an architecture of the device: its machine code, or where the compiler
// does not know the device yet, PTX for the driver to translate.
struct Architecture {
  std::string option;  // "sm_90", "compute_90"
  bool is_machine_code = true;
};
// The best that the compiler has for a compute capability (90 for 9.0); an empty option where the
// device is older than all it knows.
Architecture choose_architecture(const Compiler& compiler, int capability);
// "13.0".
std::string version_of(const Compiler& compiler);
// InternalError with the compiler's words and the source where it does not compile.
std::string compile_source(const Compiler& compiler, const std::string& source,
                           const Architecture& architecture);

}  // namespace wafer::cuda
