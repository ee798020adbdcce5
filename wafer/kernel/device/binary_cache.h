#pragma once
#include <optional>
#include <string>

namespace wafer::kernel {

// Compiled kernels in the cache folder, under `backend` ("opencl"), by a key that says all that
// they depend on: device, driver, compiler, options and source. A file that is damaged or of
// another key is as good as none. What cannot be kept is logged, not an error.
std::optional<std::string> load_binary(const std::string& backend, const std::string& key);
void save_binary(const std::string& backend, const std::string& key, const std::string& binary);

}  // namespace wafer::kernel
