#pragma once
#include "wafer/ir/type.h"

namespace wafer::kernel {

// A row-major value as lines along one axis: outer x size x inner.
struct Lines {
  int64_t outer = 1, size = 1, inner = 1;

  Lines(const Type& type, int64_t axis) {
    std::vector<int64_t> sizes = type.shape.sizes();
    auto at = static_cast<size_t>(axis);
    size = sizes[at];
    for (size_t d = 0; d < at; ++d) outer *= sizes[d];
    for (size_t d = at + 1; d < sizes.size(); ++d) inner *= sizes[d];
  }
  int64_t count() const { return size == 0 ? 0 : outer * inner; }
};

}  // namespace wafer::kernel
