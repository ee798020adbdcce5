#pragma once
#include <filesystem>

namespace wafer {

// Where things are kept that can be made again: WAFER_CACHE, or ~/.cache/wafer; empty when there is
// neither.
std::filesystem::path cache_folder();

}  // namespace wafer
