#include "wafer/backend/cpu/simd/block.h"
#ifdef __F16C__
#include <immintrin.h>
#endif

// Between the storage formats and what registers hold.
namespace wafer::cpu::WAFER_ISA {

using kernel::Compute;

namespace {

template <class To, class From>
void load_as(void* out, const void* in, int64_t stride, int64_t count) {
  auto* from = static_cast<const From*>(in);
  auto* to = static_cast<To*>(out);
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<To>(from[i]);
  } else if (stride == 0) {
    auto value = static_cast<To>(from[0]);
    for (int64_t i = 0; i < count; ++i) to[i] = value;
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<To>(from[i * stride]);
  }
}

// Reads 16-bit elements as `dense` reads contiguous ones.
template <LoadFunction dense>
void load_halves(void* out, const void* in, int64_t stride, int64_t count) {
  auto* from = static_cast<const uint16_t*>(in);
  auto* to = static_cast<float*>(out);
  if (stride == 1) return dense(out, in, 1, count);
  if (stride == 0) {
    float value;
    dense(&value, in, 1, 1);
    for (int64_t i = 0; i < count; ++i) to[i] = value;
    return;
  }
  constexpr int64_t part = 64;
  uint16_t together[part];
  for (int64_t i = 0; i < count; i += part) {
    int64_t n = count - i < part ? count - i : part;
    for (int64_t k = 0; k < n; ++k) together[k] = from[(i + k) * stride];
    dense(to + i, together, 1, n);
  }
}

void dense_bfloat16(void* out, const void* in, int64_t, int64_t count) {
  auto* from = static_cast<const uint16_t*>(in);
  auto* to = static_cast<uint32_t*>(out);
  for (int64_t i = 0; i < count; ++i) to[i] = uint32_t{from[i]} << 16;
}
void store_bfloat16(void* out, const void* in, int64_t count) {
  auto* from = static_cast<const uint32_t*>(in);
  auto* to = static_cast<uint16_t*>(out);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t word = from[i];
    uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    uint32_t quiet = (word >> 16) | 0x40u;
    to[i] = static_cast<uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
  }
}

float half_to_float(uint16_t bits) {
  uint32_t sign = (bits & 0x8000u) << 16;
  uint32_t magnitude = bits & 0x7fffu;
  uint32_t mantissa = magnitude & 0x3ffu;
  uint32_t word = (magnitude << 13) + 0x38000000u;
  if (magnitude >= 0x7c00u) word = 0x7f800000u | (mantissa << 13);
  float small = static_cast<float>(static_cast<int32_t>(mantissa)) * 0x1p-24f;
  if (magnitude < 0x400u) word = __builtin_bit_cast(uint32_t, small);
  return __builtin_bit_cast(float, word | sign);
}
uint16_t float_to_half(float value) {
  uint32_t word = __builtin_bit_cast(uint32_t, value);
  uint32_t sign = (word >> 16) & 0x8000u;
  uint32_t magnitude = word & 0x7fffffffu;
  // Below 2^-14 results are multiples of 2^-24: adding 0.5 rounds to them.
  float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
  uint32_t result = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  if (magnitude < 0x38800000u) result = __builtin_bit_cast(uint32_t, shifted) - 0x3f000000u;
  if (magnitude >= 0x477ff000u) result = 0x7c00u;
  if (magnitude > 0x7f800000u) result = 0x7e00u;
  return static_cast<uint16_t>(sign | result);
}
void dense_half(void* out, const void* in, int64_t, int64_t count) {
  auto* from = static_cast<const uint16_t*>(in);
  auto* to = static_cast<float*>(out);
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= count; i += 8) {
    __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(halves));
  }
#endif
  for (; i < count; ++i) to[i] = half_to_float(from[i]);
}
void store_half(void* out, const void* in, int64_t count) {
  auto* from = static_cast<const float*>(in);
  auto* to = static_cast<uint16_t*>(out);
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= count; i += 8) {
    __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), halves);
  }
#endif
  for (; i < count; ++i) to[i] = float_to_half(from[i]);
}

template <class To, class From>
void store_as(void* out, const void* in, int64_t count) {
  auto* from = static_cast<const From*>(in);
  auto* to = static_cast<To*>(out);
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<To>(from[i]);
}

template <class To>
LoadFunction load_integer(DType dtype) {
  switch (dtype) {
    case DType::i64: return load_as<To, int64_t>;
    case DType::i32: return load_as<To, int32_t>;
    case DType::i16: return load_as<To, int16_t>;
    case DType::i8: return load_as<To, int8_t>;
    case DType::u32: return load_as<To, uint32_t>;
    case DType::u16: return load_as<To, uint16_t>;
    case DType::u8:
    case DType::boolean: return load_as<To, uint8_t>;
    default: return nullptr;
  }
}
}  // namespace

LoadFunction load_function(DType dtype, Compute type) {
  switch (type) {
    case Compute::f32:
      if (dtype == DType::f32) return load_as<float, float>;
      if (dtype == DType::bf16) return load_halves<dense_bfloat16>;
      if (dtype == DType::f16) return load_halves<dense_half>;
      return load_integer<float>(dtype);
    case Compute::f64: return dtype == DType::f64 ? load_as<double, double> : nullptr;
    case Compute::i64: return load_integer<int64_t>(dtype);
    case Compute::u64: return dtype == DType::u64 ? load_as<uint64_t, uint64_t> : nullptr;
    case Compute::boolean: return dtype == DType::boolean ? load_as<uint8_t, uint8_t> : nullptr;
  }
  return nullptr;
}

StoreFunction store_function(Compute type, DType dtype) {
  switch (dtype) {
    case DType::f32: return store_as<float, float>;
    case DType::bf16: return store_bfloat16;
    case DType::f16: return store_half;
    case DType::f64: return store_as<double, double>;
    case DType::i64: return store_as<int64_t, int64_t>;
    case DType::i32: return store_as<int32_t, int64_t>;
    case DType::i16: return store_as<int16_t, int64_t>;
    case DType::i8: return store_as<int8_t, int64_t>;
    case DType::u64: return store_as<uint64_t, uint64_t>;
    case DType::u32: return store_as<uint32_t, int64_t>;
    case DType::u16: return store_as<uint16_t, int64_t>;
    case DType::u8: return store_as<uint8_t, int64_t>;
    case DType::boolean: return type == Compute::boolean ? store_as<uint8_t, uint8_t> : nullptr;
    default: return nullptr;
  }
}

}  // namespace wafer::cpu::WAFER_ISA
