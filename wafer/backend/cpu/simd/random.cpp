#include "wafer/backend/cpu/simd/random.h"

#include "wafer/backend/cpu/simd/vector.h"

// The same bits on every instruction set: no multiply-add may be contracted into one rounding.
#pragma GCC optimize("fp-contract=off")

namespace wafer::cpu::WAFER_ISA {

namespace {
using VWide = uint64_t __attribute__((vector_size(lanes * 8)));

struct Words {
  VUnsigned word[4];
};

// Philox4x32-10 of `lanes` successive counters.
[[gnu::always_inline]] inline Words philox(uint64_t first, uint32_t step, uint64_t stream,
                                           uint64_t seed) {
  VWide counter{};
  for (int i = 0; i < lanes; ++i) counter[i] = first + static_cast<uint64_t>(i);
  VUnsigned c0 = __builtin_convertvector(counter, VUnsigned);
  VUnsigned c1 = splat(step);
  VUnsigned c2 = splat(static_cast<uint32_t>(stream)),
            c3 = splat(static_cast<uint32_t>(stream >> 32));
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    VWide low = __builtin_convertvector(c0, VWide) * uint64_t{0xD2511F53u};
    VWide high = __builtin_convertvector(c2, VWide) * uint64_t{0xCD9E8D57u};
    c0 = __builtin_convertvector(high >> 32, VUnsigned) ^ c1 ^ k0;
    c1 = __builtin_convertvector(high, VUnsigned);
    c2 = __builtin_convertvector(low >> 32, VUnsigned) ^ c3 ^ k1;
    c3 = __builtin_convertvector(low, VUnsigned);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

[[gnu::always_inline]] inline VFloat to_float(VUnsigned small) {
  return __builtin_convertvector(reinterpret_cast<VInt>(small), VFloat);
}

[[gnu::always_inline]] inline VFloat uniform(VUnsigned word) {
  return to_float(word >> 8) * 0x1p-24f;
}

// Natural logarithm of normal positive numbers: the polynomial of Cephes' logf, within 1 ulp.
[[gnu::always_inline]] inline VFloat log(VFloat x) {
  VInt bits = reinterpret_cast<VInt>(x);
  VInt exponent = (bits >> 23) - 126;
  VFloat m = reinterpret_cast<VFloat>((bits & 0x7fffff) | 0x3f000000);  // in [0.5, 1)
  VInt small = m < 0.70710678f;
  exponent += small;  // minus one where small
  m = (small ? m + m : m) - 1.0f;
  VFloat z = m * m;
  VFloat p = splat(7.0376836292e-2f);
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  VFloat e = __builtin_convertvector(exponent, VFloat);
  VFloat y = m * z * p + e * -2.12194440e-4f - z * 0.5f;
  return m + y + e * 0.693359375f;
}

[[gnu::always_inline]] inline VFloat square_root(VFloat x) {
  VFloat y;
  for (int i = 0; i < lanes; ++i) y[i] = __builtin_sqrtf(x[i]);
  return y;
}

// sqrt(2) erfinv(2 u - 1), u = (bits + 1/2) 2^-24; Giles (2010), table 5.
[[gnu::always_inline]] inline VFloat normal(VUnsigned word) {
  // 2 u - 1 = (2 bits + 1) 2^-24 - 1 has 24 bits: exact.
  VFloat x =
      __builtin_convertvector(reinterpret_cast<VInt>((word >> 8) * 2 + 1) - (1 << 24), VFloat) *
      0x1p-24f;
  VFloat w = -log((1.0f - x) * (1.0f + x));
  VFloat c = w - 2.5f;
  VFloat p = splat(2.81022636e-08f);
  p = p * c + 3.43273939e-07f;
  p = p * c - 3.5233877e-06f;
  p = p * c - 4.39150654e-06f;
  p = p * c + 0.00021858087f;
  p = p * c - 0.00125372503f;
  p = p * c - 0.00417768164f;
  p = p * c + 0.246640727f;
  p = p * c + 1.50140941f;
  VFloat t = square_root(w) - 3.0f;
  VFloat q = splat(-0.000200214257f);
  q = q * t + 0.000100950558f;
  q = q * t + 0.00134934322f;
  q = q * t - 0.00367342844f;
  q = q * t + 0.00573950773f;
  q = q * t - 0.0076224613f;
  q = q * t + 0.00943887047f;
  q = q * t + 1.00167406f;
  q = q * t + 2.83297682f;
  return (w < 5.0f ? p : q) * x * 1.41421356f;
}

template <class Transform>
[[gnu::always_inline]] inline void generate(uint64_t seed, uint32_t step, uint64_t stream,
                                            int64_t begin, int64_t end, float* to,
                                            Transform transform) {
  for (int64_t block = begin; block < end; block += lanes) {
    Words words = philox(static_cast<uint64_t>(block), step, stream, seed);
    float values[4][lanes];
    for (int w = 0; w < 4; ++w) store(values[w], transform(words.word[w]));
    int64_t count = end - block < lanes ? end - block : lanes;
    for (int64_t i = 0; i < count; ++i) {
      for (int w = 0; w < 4; ++w) to[(block - begin + i) * 4 + w] = values[w][i];
    }
  }
}
}  // namespace

void random_uniform_blocks(uint64_t seed, uint32_t step, uint64_t stream, int64_t begin,
                           int64_t end, float* to) {
  generate(seed, step, stream, begin, end, to, [](VUnsigned word) { return uniform(word); });
}

void random_normal_blocks(uint64_t seed, uint32_t step, uint64_t stream, int64_t begin, int64_t end,
                          float* to) {
  generate(seed, step, stream, begin, end, to, [](VUnsigned word) { return normal(word); });
}

}  // namespace wafer::cpu::WAFER_ISA
