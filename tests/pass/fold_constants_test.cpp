#include "wafer/pass/fold_constants.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/pass/graphs.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"
#include "wafer/tensor/eval.h"

namespace wafer {
namespace {

using testing::count;
using testing::f32;

TEST(FoldConstants, AMaskOfPositionsBecomesATable) {
  Tensor x = f32(Shape{5, 5});
  Graph graph{{x}, {tril(x)}, {}};
  Graph folded = fold_constants(graph);
  verify(folded);
  const Node& where = folded.outputs[0].node();
  ASSERT_TRUE(where.is(op::where)) << print(folded);
  ASSERT_TRUE(where.inputs[0].node().is(op::constant)) << print(folded);
  auto bytes = static_cast<const bool*>(where.inputs[0].storage()->data());
  for (int64_t row = 0; row < 5; ++row) {
    for (int64_t column = 0; column < 5; ++column)
      EXPECT_EQ(bytes[row * 5 + column], column <= row) << row << ", " << column;
  }
}

TEST(FoldConstants, ScalarsStayScalars) {
  Tensor x = f32(Shape{100});
  Tensor two = full(Shape{100}, 2), three = full(Shape{100}, 3);
  Graph graph{{x}, {x * (two * three)}, {}};
  EXPECT_TRUE(structurally_equal(fold_constants(graph), graph));
}

TEST(FoldConstants, ABroadcastIsNotMadeRealButWhatItRepeatsIs) {
  Tensor x = f32(Shape{64, 8});
  Tensor row = sqrt(cast(arange(8), DType::f32));
  Graph graph{{x}, {x + broadcast_to(row, Shape{64, 8})}, {}};
  Graph folded = fold_constants(graph);
  EXPECT_EQ(count(folded), 2u) << print(folded);  // add, broadcast_to
  Tensor repeated = folded.outputs[0].node().inputs[1];
  ASSERT_TRUE(repeated.node().is(op::broadcast_to)) << print(folded);
  ASSERT_TRUE(repeated.node().inputs[0].node().is(op::constant));
  auto values = static_cast<const float*>(repeated.node().inputs[0].storage()->data());
  for (int i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(values[i], std::sqrt(static_cast<float>(i)));
}

TEST(FoldConstants, LargeValuesAndPlainIotaStay) {
  Tensor x = make_input({DType::i64, Shape{600, 600}}, "x");
  Graph large{{x}, {x + (iota(Shape{600, 600}, 0) + iota(Shape{600, 600}, 1))}, {}};
  EXPECT_TRUE(structurally_equal(fold_constants(large), large));
  Tensor y = make_input({DType::i64, Shape{6}}, "y");
  Graph plain{{y}, {y + arange(6)}, {}};
  EXPECT_TRUE(structurally_equal(fold_constants(plain), plain));
}

TEST(FoldConstants, AnOutputMadeOfTablesIsFolded) {
  Graph graph{{}, {arange(4) * arange(4)}, {}};
  Graph folded = fold_constants(graph);
  EXPECT_EQ(count(folded), 0u);
  auto values = static_cast<const int64_t*>(folded.outputs[0].storage()->data());
  EXPECT_EQ((std::vector<int64_t>(values, values + 4)), (std::vector<int64_t>{0, 1, 4, 9}));
  EXPECT_EQ((arange(4) * arange(4)).data<int64_t>(), (std::vector<int64_t>{0, 1, 4, 9}));
}

}  // namespace
}  // namespace wafer
