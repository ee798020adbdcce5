#include "wafer/backend/cpu/simd/block.h"
#include "wafer/backend/cpu/simd/math.h"

namespace wafer::cpu::WAFER_ISA {

using kernel::Code;

namespace {

// Operand k: an element a step, or one element for all.
template <bool is_scalar>
struct Operand {
  const float* data;
  float splat;
  explicit Operand(const void* from)
      : data(static_cast<const float*>(from)), splat(is_scalar ? *data : 0) {}
  [[gnu::always_inline]] float operator[](int64_t i) const { return is_scalar ? splat : data[i]; }
};

template <class F, unsigned scalars>
void binary(void* out, const void* const* in, int64_t count) {
  Operand<(scalars & 1) != 0> a(in[0]);
  Operand<(scalars & 2) != 0> b(in[1]);
  auto* result = static_cast<float*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) result[i] = F::of(a[i], b[i]);
}
template <class F, unsigned scalars>
void compare(void* out, const void* const* in, int64_t count) {
  Operand<(scalars & 1) != 0> a(in[0]);
  Operand<(scalars & 2) != 0> b(in[1]);
  auto* result = static_cast<uint8_t*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) result[i] = F::of(a[i], b[i]);
}
template <class F, unsigned scalars>
void ternary(void* out, const void* const* in, int64_t count) {
  Operand<(scalars & 1) != 0> a(in[0]);
  Operand<(scalars & 2) != 0> b(in[1]);
  Operand<(scalars & 4) != 0> c(in[2]);
  auto* result = static_cast<float*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) result[i] = F::of(a[i], b[i], c[i]);
}
template <unsigned scalars>
void where(void* out, const void* const* in, int64_t count) {
  auto* condition = static_cast<const uint8_t*>(in[0]);
  Operand<(scalars & 2) != 0> a(in[1]);
  Operand<(scalars & 4) != 0> b(in[2]);
  auto* result = static_cast<float*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    float yes = a[i], no = b[i];
    result[i] = condition[i] ? yes : no;
  }
}
template <unsigned scalars>
void where_less(void* out, const void* const* in, int64_t count) {
  Operand<(scalars & 1) != 0> a(in[0]);
  Operand<(scalars & 2) != 0> b(in[1]);
  Operand<(scalars & 4) != 0> c(in[2]);
  Operand<(scalars & 8) != 0> d(in[3]);
  auto* result = static_cast<float*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    float yes = c[i], no = d[i];
    result[i] = a[i] < b[i] ? yes : no;
  }
}

struct Add {
  static float of(float a, float b) { return a + b; }
};
struct Sub {
  static float of(float a, float b) { return a - b; }
};
struct Mul {
  static float of(float a, float b) { return a * b; }
};
struct Div {
  static float of(float a, float b) { return a / b; }
};
// NaN if either is: a comparison with NaN is false, which chooses b.
struct Maximum {
  static float of(float a, float b) {
    float greater = a > b ? a : b;
    return a != a ? a : greater;
  }
};
struct Minimum {
  static float of(float a, float b) {
    float lesser = a < b ? a : b;
    return a != a ? a : lesser;
  }
};
struct Equal {
  static bool of(float a, float b) { return a == b; }
};
struct NotEqual {
  static bool of(float a, float b) { return a != b; }
};
struct Less {
  static bool of(float a, float b) { return a < b; }
};
struct LessEqual {
  static bool of(float a, float b) { return a <= b; }
};
struct Fma {
  static float of(float a, float b, float c) { return mul_add(a, b, c); }
};
struct Fnma {
  static float of(float a, float b, float c) { return mul_add(-a, b, c); }
};
struct Fms {
  static float of(float a, float b, float c) { return mul_add(a, b, -c); }
};

template <class F>
BlockFunction pick_binary(unsigned scalars) {
  constexpr BlockFunction table[] = {binary<F, 0>, binary<F, 1>, binary<F, 2>, binary<F, 3>};
  return table[scalars & 3];
}
template <class F>
BlockFunction pick_compare(unsigned scalars) {
  constexpr BlockFunction table[] = {compare<F, 0>, compare<F, 1>, compare<F, 2>, compare<F, 3>};
  return table[scalars & 3];
}
template <class F>
BlockFunction pick_ternary(unsigned scalars) {
  constexpr BlockFunction table[] = {ternary<F, 0>, ternary<F, 1>, ternary<F, 2>, ternary<F, 3>,
                                     ternary<F, 4>, ternary<F, 5>, ternary<F, 6>, ternary<F, 7>};
  return table[scalars & 7];
}
}  // namespace

BlockFunction f32_arithmetic(Code code, unsigned scalars) {
  switch (code) {
    case Code::add: return pick_binary<Add>(scalars);
    case Code::sub: return pick_binary<Sub>(scalars);
    case Code::mul: return pick_binary<Mul>(scalars);
    case Code::div: return pick_binary<Div>(scalars);
    case Code::maximum: return pick_binary<Maximum>(scalars);
    case Code::minimum: return pick_binary<Minimum>(scalars);
    case Code::equal: return pick_compare<Equal>(scalars);
    case Code::not_equal: return pick_compare<NotEqual>(scalars);
    case Code::less: return pick_compare<Less>(scalars);
    case Code::less_equal: return pick_compare<LessEqual>(scalars);
    case Code::fma: return pick_ternary<Fma>(scalars);
    case Code::fnma: return pick_ternary<Fnma>(scalars);
    case Code::fms: return pick_ternary<Fms>(scalars);
    case Code::where: {
      constexpr BlockFunction table[] = {where<0>, where<2>, where<4>, where<6>};
      return scalars & 1 ? nullptr : table[(scalars >> 1) & 3];
    }
    case Code::where_less: {
      constexpr BlockFunction table[] = {
          where_less<0>,  where_less<1>,  where_less<2>,  where_less<3>,
          where_less<4>,  where_less<5>,  where_less<6>,  where_less<7>,
          where_less<8>,  where_less<9>,  where_less<10>, where_less<11>,
          where_less<12>, where_less<13>, where_less<14>, where_less<15>};
      return table[scalars & 15];
    }
    default: return nullptr;
  }
}

}  // namespace wafer::cpu::WAFER_ISA
