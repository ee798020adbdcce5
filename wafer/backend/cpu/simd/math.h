#pragma once
#include <cstdint>

// Functions of f32 without branches or calls, so that loops over them become vector code. Accurate
// to about 2 ulp (expm1 and log1p: 3; tan: 4; tanh: 5; erf: 6); infinities and NaN as in C.
// Coefficients are minimax fits over the reduced ranges. Nothing here is shared between instruction
// sets.
namespace wafer::cpu::WAFER_ISA {
namespace {

[[gnu::always_inline]] inline float from_bits(uint32_t word) {
  return __builtin_bit_cast(float, word);
}
[[gnu::always_inline]] inline uint32_t to_bits(float value) {
  return __builtin_bit_cast(uint32_t, value);
}
// One rounding where the instruction set has it, two elsewhere.
[[gnu::always_inline]] inline float mul_add(float a, float b, float c) {
#ifdef __FMA__
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
constexpr float integer_shift = 12582912.0f;

struct ExpReduction {
  float rest;      // x - n log 2, in [-log(2)/2, log(2)/2]
  uint32_t power;  // n in two's complement
};
[[gnu::always_inline]] inline ExpReduction reduce_exp(float x) {
  float shifted = mul_add(x, 1.44269502f, integer_shift);
  float n = shifted - integer_shift;
  float rest = mul_add(n, -0.693145752f, x);
  rest = mul_add(n, -1.42860677e-6f, rest);
  return {rest, to_bits(shifted) - to_bits(integer_shift)};
}
// (e^r - 1 - r) / r^2
[[gnu::always_inline]] inline float exp_tail(float r) {
  float p = mul_add(1.37805939e-3f, r, 8.37312452e-3f);
  p = mul_add(p, r, 4.16695364e-2f);
  p = mul_add(p, r, 1.66664720e-1f);
  return mul_add(p, r, 4.99999851e-1f);
}

[[gnu::always_inline]] inline float vexp(float x) {
  float limited = x < -104.0f ? -104.0f : x;
  limited = limited > 89.0f ? 89.0f : limited;
  ExpReduction e = reduce_exp(limited);
  float p = mul_add(mul_add(exp_tail(e.rest), e.rest, 1.0f), e.rest, 1.0f);
  // 2^n in two factors: n runs beyond the exponents of normal numbers on both sides.
  auto half = static_cast<uint32_t>(static_cast<int32_t>(e.power) >> 1);
  float first = from_bits((half + 127u) << 23);
  float second = from_bits((e.power - half + 127u) << 23);
  return p * first * second;
}

// exp of what is at most 0 or little more: 0 where the result were less than normal numbers are.
[[gnu::always_inline]] inline float vexp_falling(float x) {
  constexpr float least = -87.0f;
  ExpReduction e = reduce_exp(x < least ? least : x);
  float p = mul_add(mul_add(exp_tail(e.rest), e.rest, 1.0f), e.rest, 1.0f);
  float y = p * from_bits((e.power + 127u) << 23);
  return x < least ? 0.0f : y;
}

// expm1 in [-30, 89], and 0 of -0.
[[gnu::always_inline]] inline float expm1_within(float x) {
  ExpReduction e = reduce_exp(x);
  float p = mul_add(exp_tail(e.rest) * e.rest, e.rest, e.rest);
  float half_scale = from_bits((e.power + 126u) << 23);
  return 2.0f * mul_add(half_scale, p, half_scale - 0.5f);
}
[[gnu::always_inline]] inline float vexpm1(float x) {
  float limited = x < -30.0f ? -30.0f : x;
  limited = limited > 89.0f ? 89.0f : limited;
  return x == 0.0f ? x : expm1_within(limited);
}

[[gnu::always_inline]] inline float vlog(float x) {
  bool tiny = x < 1.17549435e-38f;
  float scaled = tiny ? x * 8388608.0f : x;
  float bias = tiny ? -23.0f : 0.0f;
  // scaled = 2^k m with m in [2/3, 4/3)
  uint32_t word = to_bits(scaled);
  uint32_t exponent = (word - 0x3f2aaaabu) & 0xff800000u;
  float m = from_bits(word - exponent) - 1.0f;
  float k = mul_add(static_cast<float>(static_cast<int32_t>(exponent)), 1.19209290e-7f, bias);
  float s = m * m;
  float r = -0.130310059f;
  float t = 0.140869141f;
  r = mul_add(r, s, -0.121483512f);
  t = mul_add(t, s, 0.139814854f);
  r = mul_add(r, s, -0.166846126f);
  t = mul_add(t, s, 0.200120345f);
  r = mul_add(r, s, -0.249996200f);
  r = mul_add(t, m, r);
  r = mul_add(r, m, 0.333331972f);
  r = mul_add(r, m, -0.5f);
  r = mul_add(r, s, m);
  r = mul_add(k, 0.693147182f, r);
  r = x == __builtin_inff() ? x : r;
  r = x == 0.0f ? -__builtin_inff() : r;
  return x >= 0.0f ? r : __builtin_nanf("");
}

[[gnu::always_inline]] inline float vlog1p(float x) {
  float u = 1.0f + x;
  float lost = x - (u - 1.0f);
  float r = vlog(u) + lost / u;
  r = x == __builtin_inff() ? x : r;
  r = x == -1.0f ? -__builtin_inff() : r;
  return x == 0.0f ? x : r;
}

// A polynomial by Horner's rule, the highest coefficient first.
template <class... More>
[[gnu::always_inline]] inline float polynomial(float x, float sum, float next, More... more) {
  sum = mul_add(sum, x, next);
  if constexpr (sizeof...(more) == 0)
    return sum;
  else
    return polynomial(x, sum, more...);
}

// An odd function that rises to 1, as x P(x^2) / Q(x^2); beyond the limit it is 1 in f32.
template <class P, class Q>
[[gnu::always_inline]] inline float odd_rational(float x, float limit, P p, Q q) {
  float size = __builtin_fabsf(x), t = size > limit ? limit : size;
  float s = t * t, y = t * p(s) / q(s);
  y = y > 1.0f || size > limit ? 1.0f : y;
  return __builtin_copysignf(y, x);
}

[[gnu::always_inline]] inline float vtanh(float x) {
  return odd_rational(
      x, 9.02f, [](float s) __attribute__((always_inline)) {
        return polynomial(s, 1.33191169e-8f, 2.05835206e-5f, 3.49403722e-3f, 1.33797203e-1f, 1.0f);
      },
      [](float s) __attribute__((always_inline)) {
        return polynomial(s, 7.76203990e-7f, 3.28309701e-4f, 2.58710836e-2f, 4.67130355e-1f, 1.0f);
      });
}

[[gnu::always_inline]] inline float verf(float x) {
  return odd_rational(
      x, 3.93f, [](float s) __attribute__((always_inline)) {
        return polynomial(s, 2.04194259e-6f, 2.84806666e-4f, 3.77961201e-3f, 5.27902883e-2f,
                          1.90784181e-1f, 1.12837915f);
      },
      [](float s) __attribute__((always_inline)) {
        return polynomial(s, 3.80036792e-5f, 1.16520963e-3f, 1.49974446e-2f, 1.14257628e-1f,
                          5.02410798e-1f, 1.0f);
      });
}

// Beyond this the reduction of sin, cos and tan loses accuracy.
constexpr float trigonometric_limit = 1.0e6f;

struct TrigReduction {
  float sine, cosine;  // of x - n pi/2
  uint32_t quadrant;   // n
};
[[gnu::always_inline]] inline TrigReduction reduce_trig(float x) {
  // 1.5 * 2^52 leaves the nearest integer in the low bits; pi/2 in 33 + 53 bits makes the first
  // product exact.
  constexpr double shift = 6755399441055744.0;
  double shifted = static_cast<double>(x) * 0.63661977236758134 + shift;
  double n = shifted - shift;
  double rest = (static_cast<double>(x) - n * 0x1.921fb544p+0) - n * 0x1.0b4611a626331p-34;
  auto quadrant = static_cast<uint32_t>(__builtin_bit_cast(uint64_t, shifted));
  auto r = static_cast<float>(rest);
  float s = r * r;
  float p = mul_add(-1.9515295891e-4f, s, 8.3321608736e-3f);
  p = mul_add(p, s, -1.6666654611e-1f);
  float sine = mul_add(p * s, r, r);
  float q = mul_add(2.443315711809948e-5f, s, -1.388731625493765e-3f);
  q = mul_add(q, s, 4.166664568298827e-2f);
  float cosine = mul_add(q, s * s, mul_add(-0.5f, s, 1.0f));
  return {sine, cosine, quadrant};
}
[[gnu::always_inline]] inline float vsin(float x) {
  TrigReduction t = reduce_trig(x);
  float value = (t.quadrant & 1u) ? t.cosine : t.sine;
  return from_bits(to_bits(value) ^ ((t.quadrant & 2u) << 30));
}
[[gnu::always_inline]] inline float vcos(float x) {
  TrigReduction t = reduce_trig(x);
  float value = (t.quadrant & 1u) ? t.sine : t.cosine;
  return from_bits(to_bits(value) ^ (((t.quadrant + 1u) & 2u) << 30));
}
[[gnu::always_inline]] inline float vtan(float x) {
  TrigReduction t = reduce_trig(x);
  bool odd = t.quadrant & 1u;
  float above = odd ? -t.cosine : t.sine;
  float below = odd ? t.sine : t.cosine;
  return above / below;
}

}  // namespace
}  // namespace wafer::cpu::WAFER_ISA
