#pragma once
#include <cstdint>

// The instructions of fused kernels. Plain enumerations, so that files compiled for one instruction
// set may include them.
namespace wafer::kernel {

// What a register holds while it is computed on. f16 and bf16 are computed in f32, integers in 64
// bits.
enum class Compute : uint8_t { f32, f64, i64, u64, boolean };

enum class Code : uint8_t {
  // Sources.
  load,      // an element of an access
  constant,  // `bits`
  // One per element-wise primitive of ops.def.
  neg,
  abs,
  sign,
  exp,
  expm1,
  log,
  log1p,
  sqrt,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  tanh,
  erf,
  floor,
  ceil,
  round,
  logical_not,
  add,
  sub,
  mul,
  div,
  pow,
  remainder,
  maximum,
  minimum,
  equal,
  not_equal,
  less,
  less_equal,
  logical_and,
  logical_or,
  logical_xor,
  where,
  // What casts become.
  convert,   // from one Compute to another; to boolean is `!= 0`; a floating number to an integer
             // truncates and saturates at the limits of `dtype`, NaN gives 0
  round_to,  // f32 rounded to a value of `dtype` (f16 or bf16)
  wrap,      // an integer reduced to the range of `dtype`
  // What the optimiser makes.
  fma,         // a * b + c
  fnma,        // c - a * b
  fms,         // a * b - c
  where_less,  // a < b ? c : d
};

}  // namespace wafer::kernel
