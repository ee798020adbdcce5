#pragma once
#include <ostream>

#include "wafer/ir/dtype.h"
#include "wafer/ir/shape.h"

namespace wafer {

// How a value lies in memory. Ops see logical shapes; only pass/layout and kernels see this.
enum class Layout : uint8_t {
  row_major,
  channels_last,  // [N, C, spatial...] stored as N, spatial..., C
};

// What a value is: element type, logical shape, physical layout.
struct Type {
  DType dtype = DType::f32;
  Shape shape;
  Layout layout = Layout::row_major;

  int64_t elements() const { return shape.elements(); }
  size_t bytes() const { return byte_size(dtype, elements()); }
  // Element strides of each logical dimension.
  std::vector<int64_t> strides() const;

  friend bool operator==(const Type&, const Type&) = default;
};

// "f32[64x3x32x32]".
std::ostream& operator<<(std::ostream& out, const Type& type);

}  // namespace wafer
