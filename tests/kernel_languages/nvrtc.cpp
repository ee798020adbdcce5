#include "tests/kernel_languages/cases.h"

#ifdef WAFER_TEST_NVRTC
#include <nvrtc.h>
#endif

namespace wafer::testing {

std::string compile_nvrtc([[maybe_unused]] const std::string& source,
                          [[maybe_unused]] const std::string& architecture,
                          [[maybe_unused]] std::string& reason) {
#ifdef WAFER_TEST_NVRTC
  nvrtcProgram program;
  if (nvrtcCreateProgram(&program, source.c_str(), "kernels.cu", 0, nullptr, nullptr) !=
      NVRTC_SUCCESS)
    return "nvrtcCreateProgram failed";
  std::string option = "--gpu-architecture=" + architecture;
  const char* options[] = {option.c_str(), "--fmad=false", "--std=c++17"};
  nvrtcResult result = nvrtcCompileProgram(program, 3, options);
  size_t size = 0;
  nvrtcGetProgramLogSize(program, &size);
  std::string log(size, '\0');
  nvrtcGetProgramLog(program, log.data());
  nvrtcDestroyProgram(&program);
  while (!log.empty() && (log.back() == '\0' || log.back() == '\n')) log.pop_back();
  return result == NVRTC_SUCCESS ? log : str(nvrtcGetErrorString(result), "\n", log);
#else
  reason = "the tests were built without NVRTC";
  return "";
#endif
}

}  // namespace wafer::testing
