#pragma once
#include <string>
#include <vector>

#include "wafer/backend/cpu/simd/block.h"
#include "wafer/ir/node.h"

// What the kernels of composites over rows (softmax, losses, normalisation) share: they compute in
// f32 on f32, f16 and bf16.
namespace wafer::cpu {

// Why this backend has no kernel for a composite as it is used here, so that it is decomposed;
// empty where it has one.
std::string why_decomposed(const Node& node);

// Memory of a floating dtype as f32: in place, or through a buffer.
class Floats {
 public:
  explicit Floats(DType dtype)
      : bytes_(static_cast<int64_t>(byte_size(dtype, 1))),
        direct_(dtype == DType::f32),
        load_(load_function_kernel()(dtype, kernel::Compute::f32)),
        store_(store_function_kernel()(kernel::Compute::f32, dtype)) {}

  // Elements at..at+count, in memory or in the buffer.
  const float* read(const void* base, int64_t at, int64_t count, float* buffer) const {
    if (direct_) return static_cast<const float*>(base) + at;
    load_(buffer, static_cast<const std::byte*>(base) + at * bytes_, 1, count);
    return buffer;
  }
  // Where to put elements that `write` is called for next.
  float* place(void* base, int64_t at, float* buffer) const {
    return direct_ ? static_cast<float*>(base) + at : buffer;
  }
  void write(void* base, int64_t at, int64_t count, const float* placed) const {
    if (!direct_) store_(static_cast<std::byte*>(base) + at * bytes_, placed, count);
  }
  // One element.
  float get(const void* base, int64_t at) const {
    float value;
    load_(&value, static_cast<const std::byte*>(base) + at * bytes_, 1, 1);
    return value;
  }
  void set(void* base, int64_t at, float value) const {
    store_(static_cast<std::byte*>(base) + at * bytes_, &value, 1);
  }
  bool direct() const { return direct_; }
  // Floats that a buffer for `count` elements needs.
  size_t buffer(int64_t count) const { return direct_ ? 0 : static_cast<size_t>(count); }

 private:
  int64_t bytes_;
  bool direct_;
  LoadFunction load_;
  StoreFunction store_;
};

// Rows of `n` elements that are converted, or handed to a thread, together.
inline int64_t rows_together(int64_t n, int64_t elements = 4096) {
  return n >= elements ? 1 : elements / (n > 0 ? n : 1);
}

}  // namespace wafer::cpu
