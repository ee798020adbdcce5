#include "wafer/base/env.h"

#include <array>
#include <cstdlib>
#include <cstring>

#include "wafer/base/error.h"

namespace wafer {

namespace {
constexpr std::array variables = {
    EnvironmentVariable{
        "WAFER_LOG",
        "what to log on standard error, separated by commas: error, warn (default), "
        "info, debug; pass: the graph after every pass with its time"},
    EnvironmentVariable{"WAFER_THREADS",
                        "threads of the cpu device; default: the CPUs this process may use"},
    EnvironmentVariable{"WAFER_DEVICE", "the default device, for example cpu or reference"},
    EnvironmentVariable{
        "WAFER_DATA", "folder that holds the data sets, searched before data/ and ../shared/data"},
    EnvironmentVariable{
        "WAFER_CACHE",
        "folder of decoded data, measured peaks and compiled kernels; default: ~/.cache/wafer"},
    EnvironmentVariable{"WAFER_ISA", "cap the cpu device's own kernels: portable, avx2 or avx512"},
    EnvironmentVariable{"WAFER_CUDA_CHECK",
                        "when set, wait after each kernel on cuda devices, so that errors name the "
                        "node; without CUDA graphs"},
    EnvironmentVariable{"NO_COLOR", "when set, no colour and no redrawn progress line"},
};
}  // namespace

std::span<const EnvironmentVariable> environment_variables() {
  return variables;
}

std::optional<std::string> environment(const char* name) {
  bool known = false;
  for (const auto& variable : variables) known = known || std::strcmp(variable.name, name) == 0;
  WAFER_CHECK(known, name, " is not in the table of environment variables");
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

}  // namespace wafer
