#include "wafer/backend/cpu/simd/block.h"

// Instructions on f64, integers and booleans, and conversions. Integers wrap around; a division by
// zero gives 0.
namespace wafer::cpu::WAFER_ISA {

using kernel::Code;
using kernel::Compute;

StoreFunction store_function(Compute type, DType dtype);
LoadFunction load_function(DType dtype, Compute type);

namespace {

template <class To, class From, class F>
void unary(void* out, const void* const* in, int64_t count) {
  auto* x = static_cast<const From*>(in[0]);
  auto* result = static_cast<To*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) result[i] = static_cast<To>(F::of(x[i]));
}
template <class To, class From, class F>
void binary(void* out, const void* const* in, int64_t count) {
  auto *a = static_cast<const From*>(in[0]), *b = static_cast<const From*>(in[1]);
  auto* result = static_cast<To*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) result[i] = static_cast<To>(F::of(a[i], b[i]));
}
template <class T>
void where(void* out, const void* const* in, int64_t count) {
  auto* condition = static_cast<const uint8_t*>(in[0]);
  auto *a = static_cast<const T*>(in[1]), *b = static_cast<const T*>(in[2]);
  auto* result = static_cast<T*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    T yes = a[i], no = b[i];
    result[i] = condition[i] ? yes : no;
  }
}

constexpr double of_signed(double x) {
  return x;
}
constexpr uint64_t of_signed(int64_t x) {
  return static_cast<uint64_t>(x);
}
constexpr uint64_t of_signed(uint64_t x) {
  return x;
}

struct Neg {
  static double of(double x) { return -x; }
  static uint64_t of(int64_t x) { return 0 - static_cast<uint64_t>(x); }
  static uint64_t of(uint64_t x) { return 0 - x; }
};
struct Abs {
  static double of(double x) { return __builtin_fabs(x); }
  static uint64_t of(int64_t x) { return x < 0 ? Neg::of(x) : static_cast<uint64_t>(x); }
  static uint64_t of(uint64_t x) { return x; }
};
struct Sign {
  template <class T>
  static T of(T x) {
    return static_cast<T>((x > 0) - (x < 0));
  }
};
struct Add {
  template <class T>
  static auto of(T a, T b) {
    return of_signed(a) + of_signed(b);
  }
};
struct Sub {
  template <class T>
  static auto of(T a, T b) {
    return of_signed(a) - of_signed(b);
  }
};
struct Mul {
  template <class T>
  static auto of(T a, T b) {
    return of_signed(a) * of_signed(b);
  }
};
struct Div {
  static double of(double a, double b) { return a / b; }
  static uint64_t of(int64_t a, int64_t b) {
    if (b == 0) return 0;
    return b == -1 ? Neg::of(a) : static_cast<uint64_t>(a / b);
  }
  static uint64_t of(uint64_t a, uint64_t b) { return b == 0 ? 0 : a / b; }
};
struct Remainder {  // has the divisor's sign
  static double of(double a, double b) {
    double r = __builtin_fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
  }
  static int64_t of(int64_t a, int64_t b) {
    if (b == 0 || b == -1) return 0;
    int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
  }
  static uint64_t of(uint64_t a, uint64_t b) { return b == 0 ? 0 : a % b; }
};
struct Pow {
  static double of(double a, double b) { return __builtin_pow(a, b); }
  static uint64_t of(uint64_t base, uint64_t exponent) {
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
      if (exponent & 1u) result *= base;
      base *= base;
    }
    return result;
  }
  static uint64_t of(int64_t base, int64_t exponent) {
    if (exponent >= 0) return of(static_cast<uint64_t>(base), static_cast<uint64_t>(exponent));
    // 1 / base^-exponent, truncated
    if (base == 1 || (base == -1 && exponent % 2 == 0)) return 1;
    return base == -1 ? ~uint64_t{0} : 0;
  }
};
struct Maximum {
  template <class T>
  static T of(T a, T b) {
    return a != a || a > b ? a : b;
  }
};
struct Minimum {
  template <class T>
  static T of(T a, T b) {
    return a != a || a < b ? a : b;
  }
};
struct Equal {
  template <class T>
  static bool of(T a, T b) {
    return a == b;
  }
};
struct NotEqual {
  template <class T>
  static bool of(T a, T b) {
    return a != b;
  }
};
struct Less {
  template <class T>
  static bool of(T a, T b) {
    return a < b;
  }
};
struct LessEqual {
  template <class T>
  static bool of(T a, T b) {
    return a <= b;
  }
};

#define WAFER_REAL_FUNCTION(Name, builtin)            \
  struct Name {                                       \
    static double of(double x) { return builtin(x); } \
  };
WAFER_REAL_FUNCTION(Exp, __builtin_exp)
WAFER_REAL_FUNCTION(Expm1, __builtin_expm1)
WAFER_REAL_FUNCTION(Log, __builtin_log)
WAFER_REAL_FUNCTION(Log1p, __builtin_log1p)
WAFER_REAL_FUNCTION(Sqrt, __builtin_sqrt)
WAFER_REAL_FUNCTION(Sin, __builtin_sin)
WAFER_REAL_FUNCTION(Cos, __builtin_cos)
WAFER_REAL_FUNCTION(Tan, __builtin_tan)
WAFER_REAL_FUNCTION(Asin, __builtin_asin)
WAFER_REAL_FUNCTION(Acos, __builtin_acos)
WAFER_REAL_FUNCTION(Atan, __builtin_atan)
WAFER_REAL_FUNCTION(Tanh, __builtin_tanh)
WAFER_REAL_FUNCTION(Erf, __builtin_erf)
WAFER_REAL_FUNCTION(Floor, __builtin_floor)
WAFER_REAL_FUNCTION(Ceil, __builtin_ceil)
WAFER_REAL_FUNCTION(Round, __builtin_nearbyint)
#undef WAFER_REAL_FUNCTION

// What arithmetic on bytes of 0 and 1 gives when any result but 0 counts as 1.
struct Same {
  static uint8_t of(uint8_t x) { return x; }
};
struct Not {
  static uint8_t of(uint8_t x) { return x ^ 1u; }
};
struct And {
  static uint8_t of(uint8_t a, uint8_t b) { return a & b; }
};
struct Or {
  static uint8_t of(uint8_t a, uint8_t b) { return a | b; }
};
struct Xor {
  static uint8_t of(uint8_t a, uint8_t b) { return a ^ b; }
};
struct OrNot {
  static uint8_t of(uint8_t a, uint8_t b) { return a | (b ^ 1u); }
};
struct None {
  static uint8_t of(uint8_t, uint8_t) { return 0; }
};

BlockFunction boolean_function(Code code) {
  using B = uint8_t;
  switch (code) {
    case Code::neg:
    case Code::abs:
    case Code::sign: return unary<B, B, Same>;
    case Code::logical_not: return unary<B, B, Not>;
    case Code::mul:
    case Code::div:
    case Code::minimum:
    case Code::logical_and: return binary<B, B, And>;
    case Code::add:
    case Code::maximum:
    case Code::logical_or: return binary<B, B, Or>;
    case Code::sub:
    case Code::not_equal:
    case Code::logical_xor: return binary<B, B, Xor>;
    case Code::pow: return binary<B, B, OrNot>;
    case Code::remainder: return binary<B, B, None>;
    case Code::equal: return binary<B, B, Equal>;
    case Code::less: return binary<B, B, Less>;
    case Code::less_equal: return binary<B, B, LessEqual>;
    case Code::where: return where<B>;
    default: return nullptr;
  }
}

template <class T>
BlockFunction arithmetic(Code code) {
  switch (code) {
    case Code::neg: return unary<T, T, Neg>;
    case Code::abs: return unary<T, T, Abs>;
    case Code::sign: return unary<T, T, Sign>;
    case Code::add: return binary<T, T, Add>;
    case Code::sub: return binary<T, T, Sub>;
    case Code::mul: return binary<T, T, Mul>;
    case Code::div: return binary<T, T, Div>;
    case Code::remainder: return binary<T, T, Remainder>;
    case Code::pow: return binary<T, T, Pow>;
    case Code::maximum: return binary<T, T, Maximum>;
    case Code::minimum: return binary<T, T, Minimum>;
    case Code::equal: return binary<uint8_t, T, Equal>;
    case Code::not_equal: return binary<uint8_t, T, NotEqual>;
    case Code::less: return binary<uint8_t, T, Less>;
    case Code::less_equal: return binary<uint8_t, T, LessEqual>;
    case Code::where: return where<T>;
    default: return nullptr;
  }
}

BlockFunction f64_function(Code code) {
  using D = double;
  switch (code) {
    case Code::exp: return unary<D, D, Exp>;
    case Code::expm1: return unary<D, D, Expm1>;
    case Code::log: return unary<D, D, Log>;
    case Code::log1p: return unary<D, D, Log1p>;
    case Code::sqrt: return unary<D, D, Sqrt>;
    case Code::sin: return unary<D, D, Sin>;
    case Code::cos: return unary<D, D, Cos>;
    case Code::tan: return unary<D, D, Tan>;
    case Code::asin: return unary<D, D, Asin>;
    case Code::acos: return unary<D, D, Acos>;
    case Code::atan: return unary<D, D, Atan>;
    case Code::tanh: return unary<D, D, Tanh>;
    case Code::erf: return unary<D, D, Erf>;
    case Code::floor: return unary<D, D, Floor>;
    case Code::ceil: return unary<D, D, Ceil>;
    case Code::round: return unary<D, D, Round>;
    default: return arithmetic<D>(code);
  }
}

// ---- conversions ----

struct Identity {
  template <class T>
  static T of(T x) {
    return x;
  }
};
struct IsNotZero {
  template <class T>
  static bool of(T x) {
    return x != T{0};
  }
};

// Truncates; NaN gives 0, what is beyond Limit's range its nearest end.
template <class To, class Limit>
struct Saturate {
  template <class T>
  static To of(T x) {
    constexpr int digits = static_cast<int>(sizeof(Limit)) * 8 - (Limit(-1) < Limit(0) ? 1 : 0);
    constexpr auto above = static_cast<double>(uint64_t{1} << (digits - 1)) * 2;  // one too large
    constexpr Limit greatest = static_cast<Limit>(((uint64_t{1} << (digits - 1)) - 1) * 2 + 1);
    constexpr Limit least = Limit(-1) < Limit(0) ? static_cast<Limit>(-greatest - 1) : Limit{0};
    auto value = static_cast<double>(x);
    if (value >= above) return static_cast<To>(greatest);
    if (value <= static_cast<double>(least)) return static_cast<To>(least);
    return value == value ? static_cast<To>(value) : To{0};
  }
};

template <class From>
BlockFunction to_integer(DType dtype) {
  switch (dtype) {
    case DType::i64: return unary<int64_t, From, Saturate<int64_t, int64_t>>;
    case DType::i32: return unary<int64_t, From, Saturate<int64_t, int32_t>>;
    case DType::i16: return unary<int64_t, From, Saturate<int64_t, int16_t>>;
    case DType::i8: return unary<int64_t, From, Saturate<int64_t, int8_t>>;
    case DType::u32: return unary<int64_t, From, Saturate<int64_t, uint32_t>>;
    case DType::u16: return unary<int64_t, From, Saturate<int64_t, uint16_t>>;
    case DType::u8: return unary<int64_t, From, Saturate<int64_t, uint8_t>>;
    default: return nullptr;
  }
}

template <class From>
BlockFunction convert(Compute type, DType dtype) {
  constexpr bool from_float = From(0.5) != From(0);
  switch (type) {
    case Compute::f32: return unary<float, From, Identity>;
    case Compute::f64: return unary<double, From, Identity>;
    case Compute::boolean: return unary<uint8_t, From, IsNotZero>;
    case Compute::i64:
      if constexpr (from_float)
        return to_integer<From>(dtype);
      else
        return unary<int64_t, From, Identity>;
    case Compute::u64:
      if constexpr (from_float)
        return unary<uint64_t, From, Saturate<uint64_t, uint64_t>>;
      else
        return unary<uint64_t, From, Identity>;
  }
  return nullptr;
}

template <class T>
struct Wrap {
  static int64_t of(int64_t x) { return static_cast<T>(static_cast<uint64_t>(x)); }
};
BlockFunction wrap(DType dtype) {
  using I = int64_t;
  switch (dtype) {
    case DType::i32: return unary<I, I, Wrap<int32_t>>;
    case DType::i16: return unary<I, I, Wrap<int16_t>>;
    case DType::i8: return unary<I, I, Wrap<int8_t>>;
    case DType::u32: return unary<I, I, Wrap<uint32_t>>;
    case DType::u16: return unary<I, I, Wrap<uint16_t>>;
    case DType::u8: return unary<I, I, Wrap<uint8_t>>;
    default: return nullptr;
  }
}

// Through the storage format and back.
template <DType dtype>
void round_to(void* out, const void* const* in, int64_t count) {
  constexpr int64_t part = 256;
  uint16_t stored[part];
  StoreFunction narrow = store_function(Compute::f32, dtype);
  LoadFunction widen = load_function(dtype, Compute::f32);
  for (int64_t i = 0; i < count; i += part) {
    int64_t n = count - i < part ? count - i : part;
    narrow(stored, static_cast<const float*>(in[0]) + i, n);
    widen(static_cast<float*>(out) + i, stored, 1, n);
  }
}
}  // namespace

BlockFunction other_function(Code code, Compute type, Compute from, DType dtype) {
  if (code == Code::convert) {
    switch (from) {
      case Compute::f32: return convert<float>(type, dtype);
      case Compute::f64: return convert<double>(type, dtype);
      case Compute::i64: return convert<int64_t>(type, dtype);
      case Compute::u64: return convert<uint64_t>(type, dtype);
      case Compute::boolean: return convert<uint8_t>(type, dtype);
    }
  }
  if (code == Code::wrap) return wrap(dtype);
  if (code == Code::round_to)
    return dtype == DType::bf16 ? round_to<DType::bf16> : round_to<DType::f16>;
  switch (from) {
    case Compute::f64: return f64_function(code);
    case Compute::i64: return arithmetic<int64_t>(code);
    case Compute::u64: return arithmetic<uint64_t>(code);
    case Compute::boolean: return boolean_function(code);
    default: return nullptr;
  }
}

}  // namespace wafer::cpu::WAFER_ISA
