#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

// Conversion of numbers between dtypes as the op `cast` defines it.
namespace wafer {

// To float by rounding to odd: an inexact result gets an odd last bit, so that rounding it again to
// 8 or 11 bits gives what rounding once would have given (Boldo and Melquiond 2008).
inline float to_float_odd(double value) {
  auto rounded = static_cast<float>(value);
  if (!std::isfinite(value) || static_cast<double>(rounded) == value) return rounded;
  if (std::abs(static_cast<double>(rounded)) > std::abs(value))
    rounded = std::nextafter(rounded, 0.0f);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(rounded) | 1u);
}

// An integer as a double whose 53 bits round to odd, for a second rounding to 24 bits or fewer.
inline double to_double_odd(uint64_t value) {
  if (value >> 53 == 0) return static_cast<double>(value);
  uint64_t dropped = value & 0x7ffu;
  return static_cast<double>((value & ~uint64_t{0x7ff}) | (dropped ? 0x800u : 0u));
}
inline double to_double_odd(int64_t value) {
  return value < 0 ? -to_double_odd(uint64_t{0} - static_cast<uint64_t>(value))
                   : to_double_odd(static_cast<uint64_t>(value));
}

// Conversion of a computed value to a storage type: floats round once to nearest even; a float to
// an integer truncates and saturates, NaN gives 0; an integer to an integer keeps its low bits;
// anything to boolean is `!= 0`.
template <class T, class C>
T convert(C value) {
  constexpr bool from_float = std::is_same_v<C, double>;
  if constexpr (std::is_same_v<T, bool>) {
    return value != C{0};
  } else if constexpr (std::is_same_v<T, double>) {
    return static_cast<double>(value);
  } else if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(value);
  } else if constexpr (!std::is_integral_v<T>) {
    if constexpr (from_float)
      return T(to_float_odd(value));
    else
      return T(to_float_odd(to_double_odd(value)));
  } else if constexpr (from_float) {
    if (std::isnan(value)) return 0;
    // 2^bits, one above the greatest value, is exact in double.
    const double limit = std::ldexp(1.0, std::numeric_limits<T>::digits);
    if (value >= limit) return std::numeric_limits<T>::max();
    if (value <= static_cast<double>(std::numeric_limits<T>::min()))
      return std::numeric_limits<T>::min();
    return static_cast<T>(value);
  } else {
    return static_cast<T>(value);
  }
}

}  // namespace wafer
