#include "wafer/backend/cpu/simd/reduce.h"

#include "wafer/backend/cpu/simd/vector.h"

namespace wafer::cpu::WAFER_ISA {

using kernel::Compute;

namespace {

template <class T>
struct Types {
  using Total = T;
};
template <>
struct Types<float> {
  using Total = double;
};
template <class T>
using Total = typename Types<T>::Total;

template <class T>
struct Register {
  typedef T Vector __attribute__((vector_size(register_bytes)));
  static constexpr int64_t lanes = register_bytes / static_cast<int64_t>(sizeof(T));
};

template <class T>
constexpr T greatest() {
  if constexpr (T(0.5) != T(0))
    return static_cast<T>(__builtin_inf());
  else
    return T(-1) < T(0) ? static_cast<T>(~uint64_t{0} >> 1) : static_cast<T>(~uint64_t{0});
}
template <class T>
constexpr T least() {
  if constexpr (T(0.5) != T(0))
    return static_cast<T>(-__builtin_inf());
  else
    return T(-1) < T(0) ? static_cast<T>(uint64_t{1} << 63) : T(0);
}

// Each works on numbers and on vectors; extrema are NaN if any element is.
struct Sum {
  static constexpr bool may_overflow = true;
  template <class T>
  static constexpr T first() {
    return T(0);
  }
  template <class V>
  static V of(V a, V b) {
    return a + b;
  }
};
struct Prod {
  static constexpr bool may_overflow = true;
  template <class T>
  static constexpr T first() {
    return T(1);
  }
  template <class V>
  static V of(V a, V b) {
    return a * b;
  }
};
struct Max {
  static constexpr bool may_overflow = false;
  template <class T>
  static constexpr T first() {
    return least<T>();
  }
  template <class V>
  static V of(V a, V b) {
    V greater = b > a ? b : a;
    return b != b ? b : greater;
  }
};
struct Min {
  static constexpr bool may_overflow = false;
  template <class T>
  static constexpr T first() {
    return greatest<T>();
  }
  template <class V>
  static V of(V a, V b) {
    V lesser = b < a ? b : a;
    return b != b ? b : lesser;
  }
};

template <class Op, class T>
void run(const void* elements, int64_t count, void* total) {
  using V = typename Register<T>::Vector;
  constexpr int64_t lanes = Register<T>::lanes;
  constexpr int64_t block = 64 * lanes;  // 16 elements of each partial sum
  auto* x = static_cast<const T*>(elements);
  auto& result = *static_cast<Total<T>*>(total);
  while (count >= 4 * lanes) {
    int64_t n = count < block ? count / (4 * lanes) * (4 * lanes) : block;
    V a = load<V>(x), b = load<V>(x + lanes), c = load<V>(x + 2 * lanes),
      d = load<V>(x + 3 * lanes);
    for (int64_t i = 4 * lanes; i < n; i += 4 * lanes) {
      a = Op::of(a, load<V>(x + i));
      b = Op::of(b, load<V>(x + i + lanes));
      c = Op::of(c, load<V>(x + i + 2 * lanes));
      d = Op::of(d, load<V>(x + i + 3 * lanes));
    }
    V all = Op::of(Op::of(a, b), Op::of(c, d));
    T parts[lanes];
    store(parts, all);
    for (int64_t half = lanes / 2; half > 0; half /= 2) {
      for (int64_t i = 0; i < half; ++i) parts[i] = Op::of(parts[i], parts[i + half]);
    }
    result = Op::of(result, static_cast<Total<T>>(parts[0]));
    x += n;
    count -= n;
  }
  if (count == 0) return;
  T rest = x[0];
  for (int64_t i = 1; i < count; ++i) rest = Op::of(rest, x[i]);
  result = Op::of(result, static_cast<Total<T>>(rest));
}

// `registers` vectors of columns from `rows` rows, at most a block of them at once.
template <class Op, class T, int registers>
void columns(const T* x, int64_t stride, int64_t rows, Total<T>* totals) {
  using V = typename Register<T>::Vector;
  constexpr int64_t lanes = Register<T>::lanes, block = 128;
  for (int64_t first = 0; first < rows; first += block) {
    int64_t last = first + block < rows ? first + block : rows;
    V sums[registers];
    for (int k = 0; k < registers; ++k) sums[k] = load<V>(x + first * stride + k * lanes);
    for (int64_t r = first + 1; r < last; ++r) {
#pragma GCC unroll 8
      for (int k = 0; k < registers; ++k)
        sums[k] = Op::of(sums[k], load<V>(x + r * stride + k * lanes));
    }
    T parts[registers * lanes];
    for (int k = 0; k < registers; ++k) store(parts + k * lanes, sums[k]);
    for (int64_t j = 0; j < registers * lanes; ++j)
      totals[j] = Op::of(totals[j], static_cast<Total<T>>(parts[j]));
  }
}

template <class Op, class T>
void few_columns(const T* x, int64_t stride, int64_t rows, int64_t width, Total<T>* totals) {
  constexpr int64_t block = 128;
  for (int64_t first = 0; first < rows; first += block) {
    int64_t last = first + block < rows ? first + block : rows;
    T sums[Register<T>::lanes];
    for (int64_t j = 0; j < width; ++j) sums[j] = x[first * stride + j];
    for (int64_t r = first + 1; r < last; ++r) {
      for (int64_t j = 0; j < width; ++j) sums[j] = Op::of(sums[j], x[r * stride + j]);
    }
    for (int64_t j = 0; j < width; ++j)
      totals[j] = Op::of(totals[j], static_cast<Total<T>>(sums[j]));
  }
}

template <class Op, class T>
void rows(const void* elements, int64_t stride, int64_t count, int64_t width, void* results) {
  constexpr int64_t lanes = Register<T>::lanes;
  auto* x = static_cast<const T*>(elements);
  auto* totals = static_cast<Total<T>*>(results);
  // Short rows without gaps: as many of them as fill four registers count as one.
  constexpr int64_t most = 8 * lanes;
  if (stride == width && width < 2 * lanes && count >= 8) {
    int64_t together = 4 * lanes / width;
    Total<T> wide[most];
    int64_t wide_width = together * width;
    for (int64_t j = 0; j < wide_width; ++j) wide[j] = Op::template first<Total<T>>();
    int64_t whole = count / together;
    if (together > 1 && whole > 0) {
      rows<Op, T>(x, wide_width, whole, wide_width, wide);
      for (int64_t j = 0; j < wide_width; ++j)
        totals[j % width] = Op::of(totals[j % width], wide[j]);
      x += whole * wide_width;
      count -= whole * together;
      if (count == 0) return;
    }
  }
  int64_t j = 0;
  for (; j + 4 * lanes <= width; j += 4 * lanes)
    columns<Op, T, 4>(x + j, stride, count, totals + j);
  for (; j + lanes <= width; j += lanes) columns<Op, T, 1>(x + j, stride, count, totals + j);
  if (j < width) few_columns<Op, T>(x + j, stride, count, width - j, totals + j);
}

// Sums and products of signed integers wrap around: the same bits as of unsigned ones.
template <bool is_unsigned>
struct WholeOf {
  using Type = int64_t;
};
template <>
struct WholeOf<true> {
  using Type = uint64_t;
};
template <class Op>
using Whole = typename WholeOf<Op::may_overflow>::Type;

template <class Op>
ReduceRun pick_run(Compute type) {
  switch (type) {
    case Compute::f32: return run<Op, float>;
    case Compute::f64: return run<Op, double>;
    case Compute::i64: return run<Op, Whole<Op>>;
    case Compute::u64: return run<Op, uint64_t>;
    default: return nullptr;
  }
}
template <class Op>
ReduceRows pick_rows(Compute type) {
  switch (type) {
    case Compute::f32: return rows<Op, float>;
    case Compute::f64: return rows<Op, double>;
    case Compute::i64: return rows<Op, Whole<Op>>;
    case Compute::u64: return rows<Op, uint64_t>;
    default: return nullptr;
  }
}
}  // namespace

ReduceRun reduce_run(Reduction op, Compute type) {
  switch (op) {
    case Reduction::sum: return pick_run<Sum>(type);
    case Reduction::prod: return pick_run<Prod>(type);
    case Reduction::max: return pick_run<Max>(type);
    case Reduction::min: return pick_run<Min>(type);
  }
  return nullptr;
}
ReduceRows reduce_rows(Reduction op, Compute type) {
  switch (op) {
    case Reduction::sum: return pick_rows<Sum>(type);
    case Reduction::prod: return pick_rows<Prod>(type);
    case Reduction::max: return pick_rows<Max>(type);
    case Reduction::min: return pick_rows<Min>(type);
  }
  return nullptr;
}

}  // namespace wafer::cpu::WAFER_ISA
