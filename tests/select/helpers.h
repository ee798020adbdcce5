#pragma once
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "tests/io/helpers.h"
#include "wafer/ir/node.h"

namespace wafer::testing_select {

// An input of f32.
inline Tensor real(const Shape& shape) {
  return make_input({DType::f32, shape}, "x");
}

// While alive, WAFER_CACHE is a folder of its own.
class CacheFolder {
 public:
  CacheFolder() { ::setenv("WAFER_CACHE", folder_.path().c_str(), 1); }
  ~CacheFolder() { ::unsetenv("WAFER_CACHE"); }
  CacheFolder(const CacheFolder&) = delete;
  CacheFolder& operator=(const CacheFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      found.push_back(entry.path());
    return found;
  }

 private:
  testing::TemporaryFolder folder_;
};

}  // namespace wafer::testing_select
