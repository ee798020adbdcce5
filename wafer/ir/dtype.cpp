#include "wafer/ir/dtype.h"

#include <algorithm>
#include <array>

namespace wafer {

namespace {
struct DTypeInfo {
  std::string_view name, long_name;
  int bits;
};

constexpr std::array<DTypeInfo, 17> table = {{{"f64", "float64", 64},
                                              {"f32", "float32", 32},
                                              {"f16", "float16", 16},
                                              {"bf16", "bfloat16", 16},
                                              {"i64", "int64", 64},
                                              {"i32", "int32", 32},
                                              {"i16", "int16", 16},
                                              {"i8", "int8", 8},
                                              {"u64", "uint64", 64},
                                              {"u32", "uint32", 32},
                                              {"u16", "uint16", 16},
                                              {"u8", "uint8", 8},
                                              {"bool", "boolean", 8},
                                              {"i4", "int4", 4},
                                              {"u4", "uint4", 4},
                                              {"f8e4m3", "float8_e4m3fn", 8},
                                              {"f8e5m2", "float8_e5m2", 8}}};

const DTypeInfo& info(DType dtype) {
  return table.at(static_cast<size_t>(dtype));
}
}  // namespace

std::string_view name(DType dtype) {
  return info(dtype).name;
}

DType dtype_from_name(std::string_view text) {
  for (size_t i = 0; i < table.size(); ++i) {
    if (text == table[i].name || text == table[i].long_name) return static_cast<DType>(i);
  }
  throw UserError("dtype", str("unknown dtype '", text, "'"),
                  {.expected = "one of f64 f32 f16 bf16 i64 i32 i16 i8 u64 u32 u16 u8 bool"});
}

const std::vector<DType>& computable_dtypes() {
  static const std::vector<DType> dtypes = [] {
    std::vector<DType> result;
    for (int i = 0; i <= static_cast<int>(DType::boolean); ++i)
      result.push_back(static_cast<DType>(i));
    return result;
  }();
  return dtypes;
}

int bits(DType dtype) {
  return info(dtype).bits;
}

size_t byte_size(DType dtype, int64_t elements) {
  return (static_cast<size_t>(elements) * static_cast<size_t>(bits(dtype)) + 7) / 8;
}

bool is_floating(DType dtype) {
  return dtype <= DType::bf16 || dtype == DType::f8e4m3 || dtype == DType::f8e5m2;
}

bool is_integer(DType dtype) {
  return !is_floating(dtype) && dtype != DType::boolean;
}

bool is_signed(DType dtype) {
  return is_floating(dtype) || (dtype >= DType::i64 && dtype <= DType::i8) || dtype == DType::i4;
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (is_floating(a) || is_floating(b)) {
    if (!is_floating(a)) return b;
    if (!is_floating(b)) return a;
    if (bits(a) != bits(b)) return bits(a) > bits(b) ? a : b;
    return DType::f32;  // f16 with bf16
  }
  if (a == DType::boolean) return b;
  if (b == DType::boolean) return a;
  if (is_signed(a) == is_signed(b)) return bits(a) > bits(b) ? a : b;
  DType with_sign = is_signed(a) ? a : b;
  DType without = is_signed(a) ? b : a;
  if (bits(with_sign) > bits(without)) return with_sign;
  // The next wider signed type. u64 with a signed type has none; PyTorch refuses it, and so do we.
  switch (without) {
    case DType::u8: return DType::i16;
    case DType::u16: return DType::i32;
    case DType::u32: return DType::i64;
    default:
      throw UserError("promote", str("no dtype holds both ", name(a), " and ", name(b)),
                      {.hint = "cast one of them"});
  }
}

std::ostream& operator<<(std::ostream& out, DType dtype) {
  return out << name(dtype);
}

}  // namespace wafer
