#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"
#include "wafer/kernel/code.h"

// The inner loops of reductions. Elements are f32, f64, i64 or u64; totals are f64 for f32 and f64
// elements, else of the element's type. f32 is summed in blocks of some hundreds, blocks in f64.
namespace wafer::cpu {

enum class Reduction : uint8_t { sum, prod, max, min };

// Combines `count` elements into *total.
using ReduceRun = void (*)(const void* elements, int64_t count, void* total);
// Combines row after row of `width` elements, `stride` apart, into `width` totals.
using ReduceRows = void (*)(const void* elements, int64_t stride, int64_t rows, int64_t width,
                            void* totals);

WAFER_SIMD(ReduceRun, reduce_run, (Reduction op, kernel::Compute type))
WAFER_SIMD(ReduceRows, reduce_rows, (Reduction op, kernel::Compute type))

}  // namespace wafer::cpu
