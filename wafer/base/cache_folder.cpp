#include "wafer/base/cache_folder.h"

#include <cstdlib>

#include "wafer/base/env.h"

namespace wafer {

namespace fs = std::filesystem;

fs::path cache_folder() {
  if (auto folder = environment("WAFER_CACHE")) return *folder;
  const char* home = std::getenv("HOME");
  return home && *home ? fs::path(home) / ".cache" / "wafer" : fs::path();
}

}  // namespace wafer
