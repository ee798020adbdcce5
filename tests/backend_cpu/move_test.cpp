#include <numeric>

#include "tests/backend_cpu/compare.h"
#include "tests/text.h"
#include "wafer/op/create.h"
#include "wafer/op/index.h"
#include "wafer/op/layout.h"
#include "wafer/op/random.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

namespace wafer {
namespace {
using testing::Bytes;
using testing::bytes_of;
using testing::compare;
using testing::last;
using testing::rows;
using testing::variable;
using testing::with_layouts;

std::vector<int64_t> random_sizes(RandomStream& random, int rank) {
  std::vector<int64_t> sizes;
  for (int i = 0; i < rank; ++i) {
    constexpr int64_t choices[] = {1, 2, 3, 5, 17, 40};
    sizes.push_back(choices[random.below(rank > 3 ? 5 : 6)]);
  }
  if (random.below(16) == 0 && rank > 0) sizes[0] = 0;
  return sizes;
}

TEST(CpuMoves, Transpose) {
  RandomStream random(1);
  for (DType dtype : computable_dtypes()) {
    for (int trial = 0; trial < 12; ++trial) {
      Tensor x = variable(dtype, random_sizes(random, static_cast<int>(random.below(5))));
      std::vector<int64_t> permutation(static_cast<size_t>(x.rank()));
      std::iota(permutation.begin(), permutation.end(), 0);
      random.shuffle(permutation);
      compare(make(op::transpose, {x}, TransposeAttrs{permutation}), random);
    }
  }
  // Large enough for several threads and tiles.
  compare(transpose(variable(DType::f32, {300, 501}), {1, 0}), random);
  compare(transpose(variable(DType::f32, {6, 70, 5, 41}), {0, 2, 3, 1}), random);
}

TEST(CpuMoves, ReorderBothWays) {
  RandomStream random(2);
  for (DType dtype : {DType::f32, DType::bf16, DType::u8, DType::f64}) {
    for (const auto& sizes : {std::vector<int64_t>{7, 17, 9},
                              {1, 3, 32, 32},
                              {7, 64, 8, 8},
                              {2, 17, 3, 4, 5},
                              {64, 3, 32, 32},
                              {0, 3, 4, 4},
                              {3, 1, 4, 4}}) {
      for (Layout from : {rows, last}) {
        Layout to = from == rows ? last : rows;
        compare(reorder(variable(dtype, sizes, from), to), random);
      }
    }
  }
}

TEST(CpuMoves, Reshape) {
  RandomStream random(3);
  Tensor x = variable(DType::f32, {2, 6, 4, 5});
  for (Layout from : {rows, last}) {
    for (Layout to : {rows, last}) {
      compare(with_layouts(reshape(x, Shape{2, 3, 8, 5}), {from}, to), random);
    }
  }
  compare(with_layouts(reshape(x, Shape{2, 120}), {last}, rows), random);
}

TEST(CpuMoves, SlicePadFlipBroadcast) {
  RandomStream random(4);
  for (DType dtype : {DType::f32, DType::bf16, DType::u8, DType::i64, DType::boolean}) {
    for (int trial = 0; trial < 20; ++trial) {
      int rank = static_cast<int>(random.below(5));
      Tensor x = variable(dtype, random_sizes(random, rank));
      std::vector<int64_t> start, end, step, low, high, interior, axes;
      for (int d = 0; d < rank; ++d) {
        int64_t size = x.size(d);
        start.push_back(random.below(static_cast<uint32_t>(size) + 1));
        end.push_back(start.back() + random.below(static_cast<uint32_t>(size - start.back()) + 1));
        step.push_back(1 + random.below(3));
        interior.push_back(random.below(3));
        low.push_back(static_cast<int64_t>(random.below(4)) - (size > 2 ? 2 : 0));
        high.push_back(static_cast<int64_t>(random.below(4)) - (size > 4 ? 2 : 0));
        if (random.below(2)) axes.push_back(d);
      }
      compare(make(op::slice, {x}, SliceAttrs{start, end, step}), random);
      compare(
          make(op::pad, {x}, PadAttrs{low, high, interior, dtype == DType::boolean ? 1.0 : 2.0}),
          random);
      if (!axes.empty()) compare(flip(x, axes), random);
      std::vector<int64_t> narrow = x.shape().sizes();
      for (int64_t axis : axes) narrow[static_cast<size_t>(axis)] = 1;
      if (rank > 0 && random.below(2)) narrow.erase(narrow.begin());
      compare(make(op::broadcast_to, {variable(dtype, narrow)}, ShapeAttrs{x.shape()}), random);
    }
  }
  Tensor bias =
      make(op::broadcast_to, {variable(DType::f32, {17, 1, 1})}, ShapeAttrs{Shape{7, 17, 5, 4}});
  compare(with_layouts(bias, {rows}, last), random);
  compare(with_layouts(slice(variable(DType::f32, {3, 8, 6, 5}), {1, 2, 0, 1}, {3, 7, 6, 4}),
                       {last}, last),
          random);
}

TEST(CpuMoves, ConcatAndDynamicSlices) {
  RandomStream random(5);
  for (DType dtype : {DType::f32, DType::f16, DType::i64, DType::u8}) {
    for (int axis : {0, 1, 2}) {
      std::vector<Tensor> parts;
      for (int64_t size : {3, 0, 17, 1}) {
        std::vector<int64_t> sizes = {4, 5, 6};
        sizes[static_cast<size_t>(axis)] = size;
        parts.push_back(variable(dtype, sizes));
      }
      compare(concat(parts, axis), random);
    }
    Tensor x = variable(dtype, {9, 8, 17}), start = variable(DType::i64, {3});
    for (const std::vector<int64_t>& at : {std::vector<int64_t>{0, 3, 9}, {-5, 100, 2}}) {
      compare(dynamic_slice(x, start, {3, 8, 5}), random, 1, {{}, bytes_of(at)});
      compare(dynamic_update_slice(x, variable(dtype, {3, 8, 5}), start), random, 1,
              {{}, {}, bytes_of(at)});
    }
  }
}

Bytes random_indices(RandomStream& random, DType dtype, int64_t count, int64_t size) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<int64_t>(random.below(static_cast<uint32_t>(2 * size))) - size);
  }
  if (dtype == DType::i64) return bytes_of(values);
  return bytes_of(std::vector<int32_t>(values.begin(), values.end()));
}

TEST(CpuIndex, GatherAndScatter) {
  RandomStream random(6);
  for (DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32, DType::u8, DType::boolean}) {
    for (DType index : {DType::i64, DType::i32}) {
      for (int axis : {0, 1, 2}) {
        Tensor x = variable(dtype, {7, 9, 17}), at = variable(index, {3, 5});
        Bytes places = random_indices(random, index, at.elements(), x.size(axis));
        Tensor taken = gather(x, at, axis);
        compare(taken, random, 1, {{}, places});
        compare(scatter_add(x, at, make_input(taken.type(), "u"), axis), random, 4, {{}, places});
        Tensor each = variable(index, {5, 6, 11});
        places = random_indices(random, index, each.elements(), x.size(axis));
        compare(gather_elements(x, each, axis), random, 1, {{}, places});
        for (bool add : {false, true}) {
          Tensor updates = variable(dtype, {5, 6, 11});
          compare(scatter_elements(x, each, updates, axis, add), random, 4, {{}, places});
        }
      }
    }
  }
  Tensor table = variable(DType::f32, {65, 256}), tokens = variable(DType::i64, {16, 128});
  Tensor rows_taken = gather(table, tokens, 0);
  compare(scatter_add(table, tokens, make_input(rows_taken.type(), "u"), 0), random, 4,
          {{}, random_indices(random, DType::i64, tokens.elements(), 65)});
}

TEST(CpuIndex, AnIndexOutOfRangeIsAnError) {
  Tensor x = variable(DType::f32, {4, 5}), at = variable(DType::i64, {2});
  const Tensor y = gather(x, at, 0);
  for (int64_t wrong : {4, -5}) {
    std::vector<Bytes> inputs = {Bytes(80), bytes_of(std::vector<int64_t>{0, wrong})};
    EXPECT_EQ(tests::message_of([&] {
                testing::run_kernel(cpu::find_kernel(op::gather), y.node(), inputs, "cpu");
              }),
              str("[gather] index ", wrong, " is out of range for a dimension of size 4"));
  }
}

TEST(CpuOrder, SortArgCumsum) {
  RandomStream random(7);
  for (DType dtype : computable_dtypes()) {
    for (const auto& sizes :
         {std::vector<int64_t>{17}, {5, 100}, {3, 1, 40}, {0, 4}, {2, 300, 3}}) {
      for (int axis = 0; axis < static_cast<int>(sizes.size()); ++axis) {
        Tensor x = variable(dtype, sizes);
        Bytes values = testing::random_bytes(x.type(), random);
        if (dtype == DType::f32 && values.size() > 40) {
          reinterpret_cast<float*>(values.data())[3] = std::nanf("");
          reinterpret_cast<float*>(values.data())[7] = std::nanf("");
        }
        for (bool descending : {false, true}) {
          compare(sort(x, axis, descending).values, random, 1, {values});
        }
        if (x.size(axis) > 0) {
          compare(argmax(x, axis), random, 1, {values});
          compare(argmin(x, axis), random, 1, {values});
        }
        if (dtype != DType::boolean) {
          compare(make(op::cumsum, {x}, AxisAttrs{axis}), random, 4, {values});
        }
      }
    }
  }
}

TEST(CpuCreate, Iota) {
  RandomStream random(8);
  for (DType dtype : computable_dtypes()) {
    if (dtype == DType::boolean) continue;
    compare(iota(Shape{3, 17, 5}, 1, dtype), random);
    compare(iota(Shape{50000}, 0, dtype), random, 2);
  }
}

TEST(CpuCreate, UniformsAreBitEqualAndNormalsWithinFourUlp) {
  for (int64_t size : {0, 1, 3, 4, 1001, 70000}) {
    for (uint64_t seed : {uint64_t{0}, uint64_t{0xfedcba9876543210}}) {
      Bytes key = bytes_of(std::vector<uint64_t>{seed, 12345});
      for (const OpDef* def : {&op::random_uniform, &op::random_normal}) {
        Tensor y = make(*def, {variable(DType::u64, {2})},
                        RandomAttrs{Shape{size}, static_cast<int64_t>(seed ^ 77)});
        auto got = testing::run_kernel(cpu::find_kernel(*def), y.node(), {key}, "cpu")[0];
        auto expected =
            testing::run_kernel(reference::find_kernel(*def), y.node(), {key}, "reference")[0];
        if (def == &op::random_uniform) {
          EXPECT_EQ(got, expected);
          continue;
        }
        for (int64_t i = 0; i < size; ++i) {
          auto a = static_cast<float>(testing::element(y.type(), got, i));
          auto b = static_cast<float>(testing::element(y.type(), expected, i));
          float ulp = std::nextafter(std::abs(b), INFINITY) - std::abs(b);
          ASSERT_LE(std::abs(a - b), 4 * ulp) << i << ": " << a << " " << b;
        }
      }
    }
  }
}

}  // namespace
}  // namespace wafer
