#pragma once
#include <cstdint>

// Vectors of one register of the instruction set that a file of backend/cpu/simd is compiled for,
// by the compiler's vector extensions. Everything is inside that instruction set's own unnamed
// namespace: nothing here is shared between the compilations.
namespace wafer::cpu::WAFER_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX2__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif
constexpr int lanes = register_bytes / 4;  // 32-bit elements of a register

using VFloat = float __attribute__((vector_size(register_bytes)));
using VInt = int32_t __attribute__((vector_size(register_bytes)));
using VUnsigned = uint32_t __attribute__((vector_size(register_bytes)));
using VByte = uint8_t __attribute__((vector_size(lanes)));
using VHalf = uint16_t __attribute__((vector_size(lanes * 2)));

template <int... i>
struct Places {};
// Places<0, ..., count - 1>.
template <int count, int... i>
struct Count : Count<count - 1, count - 1, i...> {};
template <int... i>
struct Count<0, i...> {
  using type = Places<i...>;
};

// std::min would be one function for all instruction sets.
[[gnu::always_inline]] inline int64_t least(int64_t x, int64_t y) {
  return x < y ? x : y;
}

// Loads and stores that need no alignment and may alias any type.
template <class V>
[[gnu::always_inline]] inline V load(const void* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
template <class V>
[[gnu::always_inline]] inline void store(void* to, V value) {
  __builtin_memcpy(to, &value, sizeof value);
}

// Not VFloat{} + value, which adds: 0 + -0 is not -0.
template <int... k>
[[gnu::always_inline]] inline VFloat splat(float value, Places<k...>) {
  return VFloat{(static_cast<void>(k), value)...};
}
[[gnu::always_inline]] inline VFloat splat(float value) {
  return splat(value, typename Count<lanes>::type{});
}
[[gnu::always_inline]] inline VInt splat(int32_t value) {
  return VInt{} + value;
}
[[gnu::always_inline]] inline VUnsigned splat(uint32_t value) {
  return VUnsigned{} + value;
}

// Combines all lanes by halves: a few dependent steps, where one lane after the other would take as
// many as there are lanes.
template <int half = lanes / 2, class Combine, int... k>
[[gnu::always_inline]] inline float fold_lanes(VFloat value, Combine combine, Places<k...> places) {
  if constexpr (half == 0) {
    return value[0];
  } else {
    VFloat other = __builtin_shufflevector(value, value, (k ^ half)...);
    return fold_lanes<half / 2>(combine(value, other), combine, places);
  }
}
template <class Combine>
[[gnu::always_inline]] inline float fold_lanes(VFloat value, Combine combine) {
  return fold_lanes<lanes / 2>(value, combine, typename Count<lanes>::type{});
}

// bfloat16 is the upper half of a float.
[[gnu::always_inline]] inline VFloat from_bfloat16(VHalf bits) {
  return reinterpret_cast<VFloat>(__builtin_convertvector(bits, VUnsigned) << 16);
}
// Rounded to nearest even; NaN stays NaN.
[[gnu::always_inline]] inline VHalf to_bfloat16(VFloat value) {
  VUnsigned word = reinterpret_cast<VUnsigned>(value);
  VUnsigned rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
  VUnsigned quiet = (word >> 16) | 0x40u;
  return __builtin_convertvector(value == value ? rounded : quiet, VHalf);
}
[[gnu::always_inline]] inline float scalar_from_bfloat16(uint16_t bits) {
  uint32_t word = uint32_t{bits} << 16;
  float value;
  __builtin_memcpy(&value, &word, sizeof value);
  return value;
}
[[gnu::always_inline]] inline uint16_t scalar_to_bfloat16(float value) {
  uint32_t word;
  __builtin_memcpy(&word, &value, sizeof word);
  if (value != value) return static_cast<uint16_t>((word >> 16) | 0x40u);
  return static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
}

}  // namespace
}  // namespace wafer::cpu::WAFER_ISA
