#include "wafer/ir/type.h"

#include <algorithm>

namespace wafer {

std::vector<int64_t> Type::strides() const {
  std::vector<int64_t> sizes = shape.sizes();
  if (layout == Layout::row_major || sizes.size() < 3) return row_major_strides(sizes);
  // Permute to N, spatial..., C, take dense strides there, and permute back.
  std::vector<int64_t> stored(sizes);
  std::rotate(stored.begin() + 1, stored.begin() + 2, stored.end());
  std::vector<int64_t> strides = row_major_strides(stored);
  std::rotate(strides.begin() + 1, strides.end() - 1, strides.end());
  return strides;
}

std::ostream& operator<<(std::ostream& out, const Type& type) {
  out << type.dtype << '[' << type.shape << ']';
  return type.layout == Layout::channels_last ? out << ":channels_last" : out;
}

}  // namespace wafer
