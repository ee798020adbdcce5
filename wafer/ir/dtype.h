#pragma once
#include <cstdint>
#include <ostream>
#include <string_view>
#include <type_traits>
#include <vector>

#include "wafer/base/error.h"
#include "wafer/ir/float16.h"

namespace wafer {

// Element types. The sub-byte and 8-bit float types can be named and stored; no op computes in
// them.
enum class DType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  i4,
  u4,
  f8e4m3,
  f8e5m2
};

std::string_view name(DType dtype);
// "f32" or PyTorch's and NumPy's "float32"; UserError for anything else.
DType dtype_from_name(std::string_view text);
// The dtypes that ops compute in, f64 to boolean.
const std::vector<DType>& computable_dtypes();

int bits(DType dtype);
// Bytes that `elements` values take, sub-byte types packed.
size_t byte_size(DType dtype, int64_t elements);
bool is_floating(DType dtype);
bool is_integer(DType dtype);  // false for boolean
bool is_signed(DType dtype);

// The dtype of a binary op on tensors of mixed dtypes: PyTorch's table.
DType promote(DType a, DType b);

std::ostream& operator<<(std::ostream& out, DType dtype);

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, Float16>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, bool>)
    return DType::boolean;
  else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return sizeof(T) == 8   ? DType::i64
           : sizeof(T) == 4 ? DType::i32
           : sizeof(T) == 2 ? DType::i16
                            : DType::i8;
  } else {
    static_assert(std::is_integral_v<T>, "no dtype for this type");
    return sizeof(T) == 8   ? DType::u64
           : sizeof(T) == 4 ? DType::u32
           : sizeof(T) == 2 ? DType::u16
                            : DType::u8;
  }
}

// Calls fn(std::type_identity<T>{}) with the C++ type of a computable dtype.
template <class F>
decltype(auto) visit(DType dtype, F&& fn) {
  switch (dtype) {
    case DType::f64: return fn(std::type_identity<double>{});
    case DType::f32: return fn(std::type_identity<float>{});
    case DType::f16: return fn(std::type_identity<Float16>{});
    case DType::bf16: return fn(std::type_identity<BFloat16>{});
    case DType::i64: return fn(std::type_identity<int64_t>{});
    case DType::i32: return fn(std::type_identity<int32_t>{});
    case DType::i16: return fn(std::type_identity<int16_t>{});
    case DType::i8: return fn(std::type_identity<int8_t>{});
    case DType::u64: return fn(std::type_identity<uint64_t>{});
    case DType::u32: return fn(std::type_identity<uint32_t>{});
    case DType::u16: return fn(std::type_identity<uint16_t>{});
    case DType::u8: return fn(std::type_identity<uint8_t>{});
    case DType::boolean: return fn(std::type_identity<bool>{});
    default: throw UserError("dtype", str("no op computes in ", name(dtype)));
  }
}

}  // namespace wafer
