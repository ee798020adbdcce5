#pragma once
#include <algorithm>

#include "wafer/base/threads.h"
#include "wafer/ir/node.h"

// Row-major values seen as [outer, size, inner] around one axis.
namespace wafer::cpu {

struct Lines {
  int64_t outer = 1, size = 1, inner = 1;

  Lines() = default;
  Lines(const Type& type, int64_t axis) {
    int rank = type.shape.rank();
    if (axis < 0) axis += rank;
    for (int i = 0; i < rank; ++i) {
      int64_t extent = type.shape.size(i);
      (i < axis ? outer : i == axis ? size : inner) *= extent;
    }
  }
  int64_t count() const { return outer * inner; }
  // The first element of line `index`, of count(); its elements lie `inner` apart.
  int64_t start(int64_t index) const { return index / inner * size * inner + index % inner; }
};

// Calls body(begin, end) on ranges of lines, in parallel.
template <class Body>
void over_lines(const Lines& lines, const Body& body) {
  parallel_for(lines.count(), (1 << 13) / std::max<int64_t>(lines.size, 1) + 1, body);
}

// The kernels of ops that do not exist channels-last.
inline void require_row_major(const Node& node) {
  bool row_major = true;
  for (const Tensor& input : node.inputs) {
    row_major = row_major && input.type().layout == Layout::row_major;
  }
  for (const Type& type : node.outputs) row_major = row_major && type.layout == Layout::row_major;
  WAFER_CHECK(row_major, node.op->name, " on the cpu takes row-major values");
}

// Sums of T: f16 and bf16 in f32, f32 in f64, whole numbers wrap.
template <class T>
constexpr auto sum_type() {
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>) {
    return std::type_identity<double>{};
  } else if constexpr (std::is_integral_v<T>) {
    return std::type_identity<uint64_t>{};
  } else {
    return std::type_identity<float>{};
  }
}

}  // namespace wafer::cpu
