#pragma once
#include <cstdint>

#include "wafer/backend/cpu/isa.h"
#include "wafer/ir/dtype.h"
#include "wafer/kernel/code.h"

// What executes the instructions of a kernel::Program over blocks of elements.
namespace wafer::cpu {

// Computes `count` elements. in[k] points at as many elements, or at one where the function was
// asked for with bit k of `scalars` set. Booleans are bytes of 0 or 1. out may be one of the
// inputs.
using BlockFunction = void (*)(void* out, const void* const* in, int64_t count);
// Reads `count` elements, `stride` apart, and converts them to a Compute type.
using LoadFunction = void (*)(void* out, const void* in, int64_t stride, int64_t count);
// Converts from a Compute type and writes `count` elements.
using StoreFunction = void (*)(void* out, const void* in, int64_t count);

// Null where there is none; the f32 function for a mask of `scalars`.
WAFER_SIMD(BlockFunction, f32_arithmetic, (kernel::Code code, unsigned scalars))
WAFER_SIMD(BlockFunction, f32_function, (kernel::Code code))
WAFER_SIMD(BlockFunction, other_function,
           (kernel::Code code, kernel::Compute type, kernel::Compute from, DType dtype))
WAFER_SIMD(LoadFunction, load_function, (DType dtype, kernel::Compute type))
WAFER_SIMD(StoreFunction, store_function, (kernel::Compute type, DType dtype))

}  // namespace wafer::cpu
