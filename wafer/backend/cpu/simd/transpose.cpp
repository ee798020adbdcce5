#include "wafer/backend/cpu/simd/transpose.h"

#include "wafer/backend/cpu/simd/transpose_block.h"

namespace wafer::cpu::WAFER_ISA {

namespace {
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
