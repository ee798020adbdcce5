#pragma once
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "wafer/ir/convert.h"
#include "wafer/ir/type.h"
#include "wafer/op/op.h"
#include "wafer/runtime/kernel.h"

// What the reference kernels share: elements are read and written by logical coordinates, whatever
// the layout, and computed in one of three types: double (f64, f32, f16, bf16), int64_t (signed
// integers) or uint64_t (unsigned integers and booleans). Storing an integer keeps its low bits, so
// that arithmetic in 64 bits wraps around as the narrow type's own does.
namespace wafer::reference {

// ---- numbers ----

// Adds, subtracts and multiplies without undefined overflow.
template <class C>
C plus(C a, C b) {
  if constexpr (std::is_same_v<C, int64_t>)
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}
template <class C>
C minus(C a, C b) {
  if constexpr (std::is_same_v<C, int64_t>)
    return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  else
    return a - b;
}
template <class C>
C times(C a, C b) {
  if constexpr (std::is_same_v<C, int64_t>)
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else
    return a * b;
}
template <class C>
bool is_nan(C value) {
  if constexpr (std::is_same_v<C, double>)
    return std::isnan(value);
  else
    return false;
}
// a comes before b in the order of numbers with NaN as the greatest.
template <class C>
bool precedes(C a, C b) {
  return is_nan(b) ? !is_nan(a) : a < b;
}

// ---- memory ----

template <class C>
using Load = C (*)(const void* data, int64_t element);
template <class C>
using Store = void (*)(void* data, int64_t element, C value);

template <class C>
Load<C> loader(DType dtype) {
  return visit(dtype, []<class T>(std::type_identity<T>) -> Load<C> {
    return [](const void* data, int64_t element) {
      return static_cast<C>(static_cast<const T*>(data)[element]);
    };
  });
}
template <class C>
Store<C> storer(DType dtype) {
  return visit(dtype, []<class T>(std::type_identity<T>) -> Store<C> {
    return [](void* data, int64_t element, C value) {
      static_cast<T*>(data)[element] = convert<T>(value);
    };
  });
}

// Calls fn(std::type_identity<C>{}) with the type that a dtype is computed in.
template <class F>
decltype(auto) visit_computed(DType dtype, F&& fn) {
  if (is_floating(dtype)) return fn(std::type_identity<double>{});
  if (is_signed(dtype)) return fn(std::type_identity<int64_t>{});
  return fn(std::type_identity<uint64_t>{});
}

using Sizes = std::vector<int64_t>;
using Coordinates = std::array<int64_t, 8>;

inline int64_t count(const Sizes& sizes) {
  int64_t product = 1;
  for (int64_t size : sizes) product *= size;
  return product;
}

// Calls fn(at) for every coordinate in row-major order; once for a scalar.
template <class F>
void for_each(const Sizes& sizes, F&& fn) {
  if (count(sizes) == 0) return;
  Coordinates at{};
  for (;;) {
    fn(static_cast<const Coordinates&>(at));
    size_t d = sizes.size();
    while (d > 0 && ++at[d - 1] == sizes[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

// Where the elements of a value lie.
struct Extent {
  Extent() = default;
  explicit Extent(const Type& type) : sizes(type.shape.sizes()), strides(type.strides()) {}
  explicit Extent(Sizes dense) : sizes(std::move(dense)), strides(row_major_strides(sizes)) {}

  int64_t offset(const Coordinates& at) const {
    int64_t sum = 0;
    for (size_t d = 0; d < strides.size(); ++d) sum += at[d] * strides[d];
    return sum;
  }
  // The coordinates of the element with a row-major place.
  Coordinates coordinates(int64_t place) const {
    Coordinates at{};
    for (size_t d = sizes.size(); d-- > 0;) {
      at[d] = place % sizes[d];
      place /= sizes[d];
    }
    return at;
  }
  size_t rank() const { return sizes.size(); }

  Sizes sizes, strides;
};

// A value that is read: its extent and how an element becomes a number.
template <class C>
struct Reader : Extent {
  explicit Reader(const Type& type) : Extent(type), load(loader<C>(type.dtype)) {}
  C get(const void* data, const Coordinates& at) const { return load(data, offset(at)); }
  Load<C> load;
};

// A value that is written.
template <class C>
struct Writer : Extent {
  explicit Writer(const Type& type) : Extent(type), store(storer<C>(type.dtype)) {}
  void set(void* data, const Coordinates& at, C value) const { store(data, offset(at), value); }
  // Writes every element from a dense row-major array.
  void set_all(void* data, const std::vector<C>& values) const {
    size_t next = 0;
    for_each(sizes, [&](const Coordinates& at) { set(data, at, values[next++]); });
  }
  Store<C> store;
};

// Copies an element without looking at it.
struct Mover {
  explicit Mover(const Type& type) : bytes(byte_size(type.dtype, 1)) {
    WAFER_REQUIRE(bits(type.dtype) >= 8, "reference", "cannot move elements of ", type.dtype);
  }
  void move(const void* from, int64_t source, void* to, int64_t target) const {
    std::memcpy(static_cast<std::byte*>(to) + static_cast<size_t>(target) * bytes,
                static_cast<const std::byte*>(from) + static_cast<size_t>(source) * bytes, bytes);
  }
  size_t bytes;
};

}  // namespace wafer::reference
