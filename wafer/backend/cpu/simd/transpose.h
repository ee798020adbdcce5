#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"

namespace wafer::cpu {

// to[j * to_stride + i] = from[i * from_stride + j] for i < rows, j < columns, of elements of 4 or
// 2 bytes; strides in elements.
WAFER_SIMD(void, transpose_words,
           (const uint32_t* from, int64_t from_stride, int64_t rows, int64_t columns, uint32_t* to,
            int64_t to_stride))
WAFER_SIMD(void, transpose_halves,
           (const uint16_t* from, int64_t from_stride, int64_t rows, int64_t columns, uint16_t* to,
            int64_t to_stride))

}  // namespace wafer::cpu
