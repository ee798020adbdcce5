#include "wafer/backend/cpu/simd/transpose.h"

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

template <class V, class T>
void transpose(const T* from, int64_t from_stride, int64_t rows, int64_t columns, T* to,
               int64_t to_stride) {
  int64_t whole_rows = rows / lanes * lanes, whole_columns = columns / lanes * lanes;
  for (int64_t i = 0; i < whole_rows; i += lanes) {
    for (int64_t j = 0; j < whole_columns; j += lanes) {
      transpose_block<V>(from + i * from_stride + j, from_stride, to + j * to_stride + i,
                         to_stride);
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j) {
      to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}
}  // namespace

void transpose_words(const uint32_t* from, int64_t from_stride, int64_t rows, int64_t columns,
                     uint32_t* to, int64_t to_stride) {
  transpose<VUnsigned>(from, from_stride, rows, columns, to, to_stride);
}

void transpose_halves(const uint16_t* from, int64_t from_stride, int64_t rows, int64_t columns,
                      uint16_t* to, int64_t to_stride) {
  transpose<VHalf>(from, from_stride, rows, columns, to, to_stride);
}

}  // namespace wafer::cpu::WAFER_ISA
