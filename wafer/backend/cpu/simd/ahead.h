#pragma once
#include "wafer/backend/cpu/simd/vector.h"

namespace wafer::cpu::WAFER_ISA {
namespace {

// Where memory is brought to, as __builtin_prefetch counts: the higher, the nearer.
enum class CacheLevel { second = 1, first = 3 };

// Lines of memory that are brought near a part at a time, while something else is computed.
template <CacheLevel level>
class Ahead {
 public:
  Ahead() = default;
  // `count` lines of `width` floats, `stride` apart, in so many parts.
  Ahead(const float* lines, int64_t count, int64_t width, int64_t stride, int64_t parts)
      : at_(lines), left_(count), width_(width), stride_(stride) {
    each_ = (count * ((width + cache_line - 1) / cache_line) + parts - 1) / parts;
  }
  void fetch() {
    for (int64_t i = 0; i < each_ && left_ > 0; ++i) {
      __builtin_prefetch(at_ + place_, 0, static_cast<int>(level));
      place_ += cache_line;
      if (place_ < width_) continue;
      place_ = 0;
      at_ += stride_;
      --left_;
    }
  }

 private:
  static constexpr int64_t cache_line = 16;  // floats
  const float* at_ = nullptr;
  int64_t left_ = 0, width_ = 0, stride_ = 0, each_ = 0, place_ = 0;
};

}  // namespace
}  // namespace wafer::cpu::WAFER_ISA
