#pragma once
#include "wafer/backend/cpu/simd/finish.h"
#include "wafer/backend/cpu/simd/vector.h"

// The innermost loops of matrix products: a tile of the result in registers.
namespace wafer::cpu::WAFER_ISA {
namespace {

// As many accumulators as leave registers for two of w and one of x.
#if defined(__AVX512F__)
constexpr int tile_rows = 12;
#else
constexpr int tile_rows = 6;
#endif
constexpr int tile_columns = 2 * lanes;

// Steps of the depth in one round of the loop. Alone on its core a thread would not notice the
// loop's own instructions; beside a hyper-thread that takes half of the decoders they cost a sixth.
// Tiles of AVX-512 have twice as many multiply-adds in a step.
#if defined(__AVX512F__)
constexpr int steps_together = 1;
#else
constexpr int steps_together = 4;
#endif

// sum += a b. Where the compiler chooses the form of the instruction, it overwrites operands that
// it needs no more, and copies sums from register to register for it.
[[gnu::always_inline]] inline void multiply_add(VFloat& sum, VFloat a, VFloat b) {
#if defined(__FMA__)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
  sum += a * b;
#endif
}

// Addresses `stride` apart, each in a register of its own: for several steps the compiler, left to
// itself, makes up more of them than there are registers.
template <int count>
struct Addresses {
  const float* at[count];

  [[gnu::always_inline]] Addresses(const float* first, int64_t stride) {
    at[0] = first;
#pragma GCC unroll 12
    for (int i = 1; i < count; ++i) {
      at[i] = at[i - 1] + stride;
      if constexpr (steps_together > 1) asm("" : "+r"(at[i]));
    }
  }
};

// How an operand of a tile lies in memory: x [rows, depth] or w [depth, vectors * lanes], whose
// elements of one step of the depth are counted from 0. Row by row, `stride` apart,
struct RowByRow {
  const float* first;
  int64_t stride;

  // Addresses of `count` elements of a step in each of `steps` steps.
  template <int count, int steps>
  struct Round : Addresses<count> {
    [[gnu::always_inline]] explicit Round(const RowByRow& r)
        : Addresses<count>(r.first, r.stride) {}
    const float* operator()(int row, int step) const { return this->at[row] + step; }
  };
  void advance(int64_t steps) { first += steps; }
  RowByRow from(int64_t row) const { return {first + row * stride, stride}; }
};
// step by step, `stride` apart,
struct StepByStep {
  const float* first;
  int64_t stride;

  template <int count, int steps>
  struct Round : Addresses<steps> {
    [[gnu::always_inline]] explicit Round(const StepByStep& s)
        : Addresses<steps>(s.first, s.stride) {}
    const float* operator()(int element, int step) const { return this->at[step] + element; }
  };
  void advance(int64_t steps) { first += steps * stride; }
  StepByStep from(int64_t element) const { return {first + element, stride}; }
};
// packed with tile_rows to a step,
struct PackedRows {
  const float* first;

  template <int count, int steps>
  struct Round {
    const float* first;
    explicit Round(const PackedRows& p) : first(p.first) {}
    const float* operator()(int row, int step) const { return first + step * tile_rows + row; }
  };
  void advance(int64_t steps) { first += steps * tile_rows; }
  PackedRows from(int64_t row) const { return {first + row}; }
};
// or in panels of tile_columns, `panel` apart.
struct PackedColumns {
  const float* first;
  int64_t panel = 0;

  template <int count, int steps>
  struct Round : Addresses<(count + tile_columns - 1) / tile_columns> {
    [[gnu::always_inline]] explicit Round(const PackedColumns& c)
        : Addresses<(count + tile_columns - 1) / tile_columns>(c.first, c.panel) {}
    const float* operator()(int column, int step) const {
      return this->at[column / tile_columns] + step * tile_columns + column % tile_columns;
    }
  };
  void advance(int64_t steps) { first += steps * tile_columns; }
};

// ReLU; NaN stays.
[[gnu::always_inline]] inline VFloat rectify(VFloat value, VFloat limit) {
  value = value < VFloat{} ? VFloat{} : value;
  return value > limit ? limit : value;
}

// The finished value of a column, of an element at `at` of the result.
[[gnu::always_inline]] inline VFloat finish(VFloat value, const Finish& f, int64_t column,
                                            int64_t at) {
  if (f.bias != nullptr) value += load<VFloat>(f.bias + column);
  if (f.residual != nullptr) value += load<VFloat>(f.residual + at);
  if (f.relu) value = rectify(value, splat(f.limit));
  return value;
}
[[gnu::always_inline]] inline float finish(float value, const Finish& f, int64_t column,
                                           int64_t at) {
  if (f.bias != nullptr) value += f.bias[column];
  if (f.residual != nullptr) value += f.residual[at];
  if (f.relu && value < 0) value = 0;
  if (f.relu && value > f.limit) value = f.limit;
  return value;
}

// c [rows, vectors * lanes] = (accumulate ? c : 0) + x w over `depth`. `finishes`: then what `f`
// says is done with it, where c begins at its column `column`, and `at` elements into the result.
// These are parameters of their own since copies of a struct are read wider than it was written,
// which waits for the writes.
template <int rows, int vectors, bool finishes = false, class X, class W>
[[gnu::always_inline]] inline void multiply(int64_t depth, X x, W w, float* c, int64_t c_row,
                                            bool accumulate, const Finish* f = nullptr,
                                            int64_t column = 0, int64_t at = 0) {
  VFloat sum[rows][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) sum[i][j] = VFloat{};
  }
  auto round = [&]<int steps>() __attribute__((always_inline)) {
    typename X::template Round<rows, steps> factors(x);
    typename W::template Round<vectors * lanes, steps> lines(w);
#pragma GCC unroll 4
    for (int step = 0; step < steps; ++step) {
      VFloat line[vectors];
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) line[j] = load<VFloat>(lines(j * lanes, step));
#pragma GCC unroll 12
      for (int i = 0; i < rows; ++i) {
        VFloat factor = splat(*factors(i, step));
#pragma GCC unroll 8
        for (int j = 0; j < vectors; ++j) multiply_add(sum[i][j], factor, line[j]);
      }
    }
    x.advance(steps);
    w.advance(steps);
  };
  int64_t p = 0;
  for (; p + steps_together <= depth; p += steps_together)
    round.template operator()<steps_together>();
  for (; p < depth; ++p) round.template operator()<1>();
  auto each = [&](auto change) __attribute__((always_inline)) {
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) change(sum[i][j], i * c_row + j * lanes, j);
    }
  };
  if constexpr (finishes) {
    // Step by step as finish() does it, but asking once for each, not for each vector.
    if (accumulate) each([&](VFloat& v, int64_t to, int) { v = load<VFloat>(c + to) + v; });
    if (f->bias != nullptr) {
      VFloat bias[vectors];
      for (int j = 0; j < vectors; ++j) bias[j] = load<VFloat>(f->bias + column + j * lanes);
      each([&](VFloat& v, int64_t, int j) { v += bias[j]; });
    }
    if (f->residual != nullptr)
      each([&](VFloat& v, int64_t to, int) { v += load<VFloat>(f->residual + at + to); });
    if (f->relu)
      each([limit = splat(f->limit)](VFloat& v, int64_t, int) { v = rectify(v, limit); });
    accumulate = false;
  }
  each(
      [&](VFloat v, int64_t to, int) { store(c + to, accumulate ? load<VFloat>(c + to) + v : v); });
}

// multiply() for any number of rows, of packed ones at most a tile's: c is [m, vectors * lanes]. A
// function of its own, since within another sums have no registers left.
template <int vectors, bool finishes = false, class X, class W>
[[gnu::noinline]] void multiply_rows(int64_t m, int64_t depth, X x, W w, float* c, int64_t c_row,
                                     bool accumulate, const Finish* f = nullptr, int64_t column = 0,
                                     int64_t at = 0) {
  auto take = [&]<int rows>() __attribute__((always_inline)) {
    for (; m >= rows; m -= rows, x = x.from(rows), c += rows * c_row, at += rows * c_row) {
      multiply<rows, vectors, finishes>(depth, x, w, c, c_row, accumulate, f, column, at);
    }
  };
  take.template operator()<tile_rows>();
  if constexpr (tile_rows > 8) take.template operator()<8>();
  take.template operator()<4>();
  take.template operator()<2>();
  take.template operator()<1>();
}

}  // namespace
}  // namespace wafer::cpu::WAFER_ISA
