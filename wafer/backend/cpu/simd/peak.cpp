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

// Four products of 16x32 by 32x16 a round, of two tiles with two.
[[gnu::target("amx-tile,amx-bf16")]] double peak_bf16_tiles(int64_t rounds) {
  constexpr int tiles = 8, tile_rows = 16, row_bytes = 64;
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  } shape;
  for (int i = 0; i < tiles; ++i) {
    shape.row_bytes[i] = row_bytes;
    shape.rows[i] = tile_rows;
  }
  asm volatile("" : : "r"(&shape) : "memory");  // GCC 12 does not see that the next line reads it
  _tile_loadconfig(&shape);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return static_cast<double>(rounds) * 4 * tile_rows * 16 * 32 * 2;
}
#else
double peak_bf16(int64_t) {
  return 0;
}
double peak_bf16_tiles(int64_t) {
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
