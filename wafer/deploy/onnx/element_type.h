#pragma once
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "wafer/ir/dtype.h"

namespace wafer::onnx {

// ONNX's element types by their numbers in TensorProto.DataType.
enum class ElementType : int32_t {
  undefined = 0,
  f32 = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  i32 = 6,
  i64 = 7,
  string = 8,
  boolean = 9,
  f16 = 10,
  f64 = 11,
  u32 = 12,
  u64 = 13,
  complex64 = 14,
  complex128 = 15,
  bf16 = 16,
  f8e4m3fn = 17,
  f8e4m3fnuz = 18,
  f8e5m2 = 19,
  f8e5m2fnuz = 20,
  u4 = 21,
  i4 = 22,
  f4e2m1 = 23,
  f8e8m0 = 24,
  u2 = 25,
  i2 = 26,
};

std::string_view name(ElementType type);  // ONNX's name: "FLOAT8E4M3FN"
std::ostream& operator<<(std::ostream& out, ElementType type);

// The type of that number; UserError naming `where` for a number that ONNX does not have.
ElementType element_type(int64_t number, const std::string& where);
ElementType element_type_of(DType dtype);

// The dtype of the tensor that holds values of the type. Types that no op computes in are held by
// their values in a wider one: floats of 8 and 4 bits in f32 (f8e8m0, whose least value f32 has as
// a subnormal alone, in f64), integers of 4 and 2 bits in 8. UserError for strings and complex
// numbers.
DType carrier(ElementType type);
bool is_carried(ElementType type);  // held in a wider dtype
bool is_small_float(ElementType type);
int bits(ElementType type);  // of one element in a file; 0 for strings

// How a floating type of 8 or 4 bits spells its numbers.
struct SmallFloat {
  int exponent_bits, mantissa_bits, bias;
  bool has_infinity;    // the last exponent is infinity and NaN
  bool unsigned_zero;   // no -0: that code is NaN
  double largest;       // finite
  double least_normal;  // 2^(1 - bias)
};
SmallFloat small_float(ElementType type);
// The value of a code of a small float.
double decode(ElementType type, uint8_t code);

// Elements of a file (little-endian, those below a byte packed from the low bits up) as elements of
// the carrier, and back; values of the carrier must be values of the type.
std::vector<std::byte> unpack(ElementType type, std::string_view raw, int64_t count);
std::string pack(ElementType type, std::string_view carried, int64_t count);

}  // namespace wafer::onnx
