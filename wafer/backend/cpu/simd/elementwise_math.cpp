#include "wafer/backend/cpu/simd/block.h"
#include "wafer/backend/cpu/simd/math.h"

namespace wafer::cpu::WAFER_ISA {

using kernel::Code;

namespace {

template <class F>
void unary(void* out, const void* const* in, int64_t count) {
  auto* x = static_cast<const float*>(in[0]);
  auto* result = static_cast<float*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) result[i] = F::of(x[i]);
}

// The vector code where every angle is moderate, else the C library's.
template <class F>
void trigonometric(void* out, const void* const* in, int64_t count) {
  auto* x = static_cast<const float*>(in[0]);
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    float a = __builtin_fabsf(x[i]);
    largest = a > largest ? a : largest;
  }
  if (largest <= trigonometric_limit) {
    unary<F>(out, in, count);
  } else {
    auto* result = static_cast<float*>(out);
    for (int64_t i = 0; i < count; ++i) result[i] = F::slow(x[i]);
  }
}

struct Neg {
  static float of(float x) { return -x; }
};
struct Abs {
  static float of(float x) { return __builtin_fabsf(x); }
};
struct Sign {  // of NaN: 0
  static float of(float x) {
    float negative = x < 0.0f ? -1.0f : 0.0f;
    return x > 0.0f ? 1.0f : negative;
  }
};
struct Exp {
  static float of(float x) { return vexp(x); }
};
struct Expm1 {
  static float of(float x) { return vexpm1(x); }
};
struct Log {
  static float of(float x) { return vlog(x); }
};
struct Log1p {
  static float of(float x) { return vlog1p(x); }
};
struct Sqrt {
  static float of(float x) { return __builtin_sqrtf(x); }
};
struct Sin {
  static float of(float x) { return vsin(x); }
  static float slow(float x) { return __builtin_sinf(x); }
};
struct Cos {
  static float of(float x) { return vcos(x); }
  static float slow(float x) { return __builtin_cosf(x); }
};
struct Tan {
  static float of(float x) { return vtan(x); }
  static float slow(float x) { return __builtin_tanf(x); }
};
struct Asin {
  static float of(float x) { return __builtin_asinf(x); }
};
struct Acos {
  static float of(float x) { return __builtin_acosf(x); }
};
struct Atan {
  static float of(float x) { return __builtin_atanf(x); }
};
struct Tanh {
  static float of(float x) { return vtanh(x); }
};
struct Erf {
  static float of(float x) { return verf(x); }
};
struct Floor {
  static float of(float x) { return __builtin_floorf(x); }
};
struct Ceil {
  static float of(float x) { return __builtin_ceilf(x); }
};
struct Round {  // halves to even
  static float of(float x) { return __builtin_nearbyintf(x); }
};

void pow(void* out, const void* const* in, int64_t count) {
  auto *a = static_cast<const float*>(in[0]), *b = static_cast<const float*>(in[1]);
  auto* result = static_cast<float*>(out);
  for (int64_t i = 0; i < count; ++i) result[i] = __builtin_powf(a[i], b[i]);
}
// The remainder has the divisor's sign.
void remainder(void* out, const void* const* in, int64_t count) {
  auto *a = static_cast<const float*>(in[0]), *b = static_cast<const float*>(in[1]);
  auto* result = static_cast<float*>(out);
  for (int64_t i = 0; i < count; ++i) {
    float r = __builtin_fmodf(a[i], b[i]);
    result[i] = r != 0 && (r < 0) != (b[i] < 0) ? r + b[i] : r;
  }
}
}  // namespace

BlockFunction f32_function(Code code) {
  switch (code) {
    case Code::neg: return unary<Neg>;
    case Code::abs: return unary<Abs>;
    case Code::sign: return unary<Sign>;
    case Code::exp: return unary<Exp>;
    case Code::expm1: return unary<Expm1>;
    case Code::log: return unary<Log>;
    case Code::log1p: return unary<Log1p>;
    case Code::sqrt: return unary<Sqrt>;
    case Code::sin: return trigonometric<Sin>;
    case Code::cos: return trigonometric<Cos>;
    case Code::tan: return trigonometric<Tan>;
    case Code::asin: return unary<Asin>;
    case Code::acos: return unary<Acos>;
    case Code::atan: return unary<Atan>;
    case Code::tanh: return unary<Tanh>;
    case Code::erf: return unary<Erf>;
    case Code::floor: return unary<Floor>;
    case Code::ceil: return unary<Ceil>;
    case Code::round: return unary<Round>;
    case Code::pow: return pow;
    case Code::remainder: return remainder;
    default: return nullptr;
  }
}

}  // namespace wafer::cpu::WAFER_ISA
