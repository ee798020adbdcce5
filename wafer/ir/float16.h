#pragma once
#include <bit>
#include <cstdint>

namespace wafer {

// Storage formats of two bytes; arithmetic converts to float and rounds to nearest even on the way
// back.

// bfloat16: the upper half of a float.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value) {
    auto word = std::bit_cast<uint32_t>(value);
    bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? static_cast<uint16_t>((word >> 16) | 0x40u)
                  : static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
  template <class T>
  explicit BFloat16(T value) : BFloat16(static_cast<float>(value)) {}
  operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

// IEEE 754 binary16.
struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  explicit Float16(float value) {
    auto word = std::bit_cast<uint32_t>(value);
    uint32_t sign = (word >> 16) & 0x8000u;
    uint32_t magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
      bits = static_cast<uint16_t>(sign | 0x7e00u);
    } else if (magnitude >= 0x477ff000u) {  // rounds to 2^16 or more
      bits = static_cast<uint16_t>(sign | 0x7c00u);
    } else if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24
      // Adding 0.5 puts the value's multiple of 2^-24 into the low bits of the sum, rounded to
      // nearest even.
      float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
    } else {
      uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
      bits = static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
    }
  }
  template <class T>
  explicit Float16(T value) : Float16(static_cast<float>(value)) {}
  operator float() const {
    uint32_t sign = uint32_t{bits & 0x8000u} << 16;
    uint32_t magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) {
      return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    }
    float value = static_cast<float>(magnitude & 0x3ffu) * 0x1p-24f;
    if (magnitude >= 0x400u) value = std::bit_cast<float>((magnitude << 13) + 0x38000000u);
    return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
};

}  // namespace wafer
