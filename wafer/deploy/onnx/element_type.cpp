#include "wafer/deploy/onnx/element_type.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace wafer::onnx {

namespace {
struct Entry {
  ElementType type;
  const char* name;
  int bits;
  DType carrier;
};
using T = ElementType;
constexpr std::array entries = {
    Entry{T::undefined, "UNDEFINED", 0, DType::f32},
    Entry{T::f32, "FLOAT", 32, DType::f32},
    Entry{T::u8, "UINT8", 8, DType::u8},
    Entry{T::i8, "INT8", 8, DType::i8},
    Entry{T::u16, "UINT16", 16, DType::u16},
    Entry{T::i16, "INT16", 16, DType::i16},
    Entry{T::i32, "INT32", 32, DType::i32},
    Entry{T::i64, "INT64", 64, DType::i64},
    Entry{T::string, "STRING", 0, DType::u8},
    Entry{T::boolean, "BOOL", 8, DType::boolean},
    Entry{T::f16, "FLOAT16", 16, DType::f16},
    Entry{T::f64, "DOUBLE", 64, DType::f64},
    Entry{T::u32, "UINT32", 32, DType::u32},
    Entry{T::u64, "UINT64", 64, DType::u64},
    Entry{T::complex64, "COMPLEX64", 64, DType::f32},
    Entry{T::complex128, "COMPLEX128", 128, DType::f64},
    Entry{T::bf16, "BFLOAT16", 16, DType::bf16},
    Entry{T::f8e4m3fn, "FLOAT8E4M3FN", 8, DType::f32},
    Entry{T::f8e4m3fnuz, "FLOAT8E4M3FNUZ", 8, DType::f32},
    Entry{T::f8e5m2, "FLOAT8E5M2", 8, DType::f32},
    Entry{T::f8e5m2fnuz, "FLOAT8E5M2FNUZ", 8, DType::f32},
    Entry{T::u4, "UINT4", 4, DType::u8},
    Entry{T::i4, "INT4", 4, DType::i8},
    Entry{T::f4e2m1, "FLOAT4E2M1", 4, DType::f32},
    Entry{T::f8e8m0, "FLOAT8E8M0", 8, DType::f64},
    Entry{T::u2, "UINT2", 2, DType::u8},
    Entry{T::i2, "INT2", 2, DType::i8},
};
const Entry& entry(ElementType type) {
  return entries.at(static_cast<size_t>(type));
}

// A code of `width` bits as a signed number.
int8_t sign_extend(uint8_t code, int width) {
  auto shift = static_cast<unsigned>(8 - width);
  return static_cast<int8_t>(static_cast<int8_t>(static_cast<uint8_t>(code << shift)) >> shift);
}
}  // namespace

std::string_view name(ElementType type) {
  return entry(type).name;
}
std::ostream& operator<<(std::ostream& out, ElementType type) {
  return out << name(type);
}

ElementType element_type(int64_t number, const std::string& where) {
  WAFER_REQUIRE(number > 0 && number < static_cast<int64_t>(entries.size()), where, "element type ",
                number, " is none that ONNX has");
  return static_cast<ElementType>(number);
}

ElementType element_type_of(DType dtype) {
  for (const Entry& e : entries) {
    if (e.carrier == dtype && e.type != T::undefined && e.type != T::string &&
        e.bits == wafer::bits(dtype))
      return e.type;
  }
  throw UserError("onnx", str("ONNX has no element type for ", dtype));
}

DType carrier(ElementType type) {
  bool none =
      type == T::undefined || type == T::string || type == T::complex64 || type == T::complex128;
  WAFER_REQUIRE(!none, "onnx", "no op computes in elements of ", type);
  return entry(type).carrier;
}
bool is_small_float(ElementType type) {
  return (type >= T::f8e4m3fn && type <= T::f8e5m2fnuz) || type == T::f4e2m1 || type == T::f8e8m0;
}
bool is_carried(ElementType type) {
  return is_small_float(type) || type == T::u4 || type == T::i4 || type == T::u2 || type == T::i2;
}
int bits(ElementType type) {
  return entry(type).bits;
}

SmallFloat small_float(ElementType type) {
  switch (type) {
    case T::f8e4m3fn: return {4, 3, 7, false, false, 448, std::ldexp(1, -6)};
    case T::f8e4m3fnuz: return {4, 3, 8, false, true, 240, std::ldexp(1, -7)};
    case T::f8e5m2: return {5, 2, 15, true, false, 57344, std::ldexp(1, -14)};
    case T::f8e5m2fnuz: return {5, 2, 16, false, true, 57344, std::ldexp(1, -15)};
    case T::f4e2m1: return {2, 1, 1, false, false, 6, 1};
    default: break;
  }
  WAFER_CHECK(type == T::f8e8m0, "no small float: ", type);
  return {8, 0, 127, false, false, std::ldexp(1, 127), std::ldexp(1, -127)};
}

double decode(ElementType type, uint8_t code) {
  SmallFloat f = small_float(type);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (type == T::f8e8m0) return code == 0xFF ? nan : std::ldexp(1, code - 127);
  int sign_bit = f.exponent_bits + f.mantissa_bits;
  bool negative = ((code >> sign_bit) & 1) != 0;
  int exponent = (code >> f.mantissa_bits) & ((1 << f.exponent_bits) - 1);
  int mantissa = code & ((1 << f.mantissa_bits) - 1);
  if (f.unsigned_zero && code == 0x80) return nan;
  if (exponent == (1 << f.exponent_bits) - 1) {
    if (f.has_infinity && mantissa == 0)
      return negative ? -std::numeric_limits<double>::infinity()
                      : std::numeric_limits<double>::infinity();
    if (f.has_infinity) return nan;
    if (type == T::f8e4m3fn && mantissa == 7) return nan;
  }
  double scale = std::ldexp(1, -f.mantissa_bits);
  double value = exponent == 0 ? std::ldexp(mantissa * scale, 1 - f.bias)
                               : std::ldexp(1 + mantissa * scale, exponent - f.bias);
  return negative ? -value : value;
}

std::vector<std::byte> unpack(ElementType type, std::string_view raw, int64_t count) {
  auto elements = static_cast<size_t>(count);
  std::vector<std::byte> out(elements * static_cast<size_t>(wafer::bits(carrier(type))) / 8);
  if (!is_carried(type)) {
    WAFER_CHECK(raw.size() == out.size(), "unpack: ", raw.size(), " bytes for ", out.size());
    if (!out.empty()) std::memcpy(out.data(), raw.data(), out.size());
    // Any byte but 0 is true; as a bool in memory only 1 is.
    if (type == T::boolean)
      for (std::byte& b : out) b = b == std::byte{0} ? std::byte{0} : std::byte{1};
    return out;
  }
  int width = bits(type), per_byte = 8 / width;
  std::array<double, 256> values{};
  if (is_small_float(type))
    for (int code = 0; code < (1 << width); ++code)
      values[static_cast<size_t>(code)] = decode(type, static_cast<uint8_t>(code));
  for (size_t i = 0; i < elements; ++i) {
    auto byte = static_cast<uint8_t>(raw[i / static_cast<size_t>(per_byte)]);
    int shift = static_cast<int>(i % static_cast<size_t>(per_byte)) * width;
    auto code = static_cast<uint8_t>((byte >> shift) & ((1 << width) - 1));
    if (type == T::f8e8m0) {
      reinterpret_cast<double*>(out.data())[i] = values[code];
    } else if (is_small_float(type)) {
      reinterpret_cast<float*>(out.data())[i] = static_cast<float>(values[code]);
    } else {
      bool is_signed = type == T::i4 || type == T::i2;
      out[i] = std::byte(is_signed ? static_cast<uint8_t>(sign_extend(code, width)) : code);
    }
  }
  return out;
}

std::string pack(ElementType type, std::string_view carried, int64_t count) {
  if (!is_carried(type)) return std::string(carried);
  auto elements = static_cast<size_t>(count);
  int width = bits(type);
  auto per_byte = static_cast<size_t>(8 / width);
  std::string out((elements + per_byte - 1) / per_byte, '\0');
  for (size_t i = 0; i < elements; ++i) {
    uint8_t code = 0;
    if (is_small_float(type)) {
      double value = type == T::f8e8m0 ? reinterpret_cast<const double*>(carried.data())[i]
                                       : reinterpret_cast<const float*>(carried.data())[i];
      for (int candidate = 0; candidate < (1 << width); ++candidate) {
        double decoded = decode(type, static_cast<uint8_t>(candidate));
        bool same = std::isnan(value)
                        ? std::isnan(decoded)
                        : decoded == value && std::signbit(decoded) == std::signbit(value);
        if (same) code = static_cast<uint8_t>(candidate);
      }
    } else {
      code = static_cast<uint8_t>(carried[i]);
    }
    int shift = static_cast<int>(i % per_byte) * width;
    int mask = (1 << width) - 1;
    out[i / per_byte] =
        static_cast<char>(static_cast<uint8_t>(out[i / per_byte]) | ((code & mask) << shift));
  }
  return out;
}

}  // namespace wafer::onnx
