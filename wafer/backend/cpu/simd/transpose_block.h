#pragma once
#include "wafer/backend/cpu/simd/vector.h"

namespace wafer::cpu::WAFER_ISA {
namespace {

// The lower (upper) halves of a and b, element by element in turn.
template <class V, int... i>
[[gnu::always_inline]] inline V interleave_low(V a, V b, Places<i...>) {
  return __builtin_shufflevector(a, b, (i / 2 + i % 2 * lanes)...);
}
template <class V, int... i>
[[gnu::always_inline]] inline V interleave_high(V a, V b, Places<i...>) {
  return __builtin_shufflevector(a, b, (lanes / 2 + i / 2 + i % 2 * lanes)...);
}

// A block of lanes x lanes: each round of interleaving row i with row i + lanes / 2 moves one bit
// of the row's number into the column's.
template <class V, class T>
[[gnu::always_inline]] inline void transpose_block(const T* from, int64_t from_stride, T* to,
                                                   int64_t to_stride) {
  using All = typename Count<lanes>::type;
  V row[lanes], next[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) row[i] = load<V>(from + i * from_stride);
#pragma GCC unroll 4
  for (int round = 1; round < lanes; round *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes / 2; ++i) {
      next[2 * i] = interleave_low(row[i], row[i + lanes / 2], All{});
      next[2 * i + 1] = interleave_high(row[i], row[i + lanes / 2], All{});
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) row[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) store(to + i * to_stride, row[i]);
}

}  // namespace
}  // namespace wafer::cpu::WAFER_ISA
