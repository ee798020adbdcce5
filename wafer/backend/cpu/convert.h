#pragma once
#include <cstdint>

#include "wafer/base/threads.h"
#include "wafer/ir/dtype.h"

namespace wafer::cpu {

// Converts `count` elements of any floating dtype to or from f32 (or another type), in parallel.
template <class To>
void convert_from(DType dtype, const void* from, To* to, int64_t count) {
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    parallel_for(count, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = static_cast<To>(static_cast<const T*>(from)[i]);
    });
  });
}
template <class From>
void convert_to(DType dtype, const From* from, void* to, int64_t count) {
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    parallel_for(count, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) static_cast<T*>(to)[i] = static_cast<T>(from[i]);
    });
  });
}

}  // namespace wafer::cpu
