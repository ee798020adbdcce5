#include "wafer/backend/cpu/simd/peak.h"

#include "wafer/backend/cpu/simd/vector.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace wafer::cpu::WAFER_ISA {

namespace {
// Chains enough to cover the latency of a multiply-add on two units.
constexpr int chains = 12;
}  // namespace

double peak_f32(int64_t rounds) {
  VFloat sum[chains];
  VFloat factor = splat(0.999f), term = splat(0.001f);
  asm volatile("" : "+x"(factor), "+x"(term));
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) sum[i] = splat(static_cast<float>(i));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = sum[i] * factor + term;
  }
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) asm volatile("" : : "x"(sum[i]));
  return static_cast<double>(rounds) * chains * lanes * 2;
}

#if defined(__AVX512F__)
[[gnu::target("avx512bf16")]] double peak_bf16(int64_t rounds) {
  __m512 sum[chains];
  auto factor = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3c00));
  asm volatile("" : "+v"(factor));
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) {
      sum[i] = _mm512_dpbf16_ps(sum[i], factor, factor);
      asm volatile("" : "+v"(sum[i]));
    }
  }
  return static_cast<double>(rounds) * chains * 32 * 2;
}
#else
double peak_bf16(int64_t) {
  return 0;
}
#endif

void peak_triad(float* a, const float* b, const float* c, int64_t count) {
  VFloat s = splat(3.0f);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    store(a + i, load<VFloat>(b + i) + s * load<VFloat>(c + i));
  }
  for (; i < count; ++i) a[i] = b[i] + 3.0f * c[i];
}

}  // namespace wafer::cpu::WAFER_ISA
