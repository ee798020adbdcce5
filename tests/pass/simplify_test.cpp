#include "wafer/pass/simplify.h"

#include "tests/pass/run_graph.h"
#include "wafer/op/op.h"

namespace wafer {
namespace {

using testing::count;
using testing::f32;
using testing::run_graph;

// The sum of the parts of [rows, columns], each alone in zeros.
Graph sum_of_padded(const std::vector<int64_t>& order, const std::vector<int64_t>& begins, int axis,
                    int64_t total, double value = 0) {
  Graph graph;
  std::vector<Tensor> padded;
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    std::vector<int64_t> sizes{4, 4}, low{0, 0}, high{0, 0};
    auto along = static_cast<size_t>(axis);
    sizes[along] = begins[i + 1] - begins[i];
    low[along] = begins[i];
    high[along] = total - begins[i + 1];
    graph.inputs.push_back(f32(Shape(sizes)));
    padded.push_back(pad(graph.inputs.back(), low, high, value));
  }
  Tensor sum = padded[static_cast<size_t>(order[0])];
  for (size_t i = 1; i < order.size(); ++i) sum = sum + padded[static_cast<size_t>(order[i])];
  graph.outputs = {sum};
  return graph;
}

testing::GraphValues values_for(const Graph& graph) {
  testing::GraphValues values;
  RandomStream random(7);
  for (const Tensor& input : graph.inputs) {
    auto& all = values.emplace_back();
    for (int64_t i = 0; i < input.elements(); ++i) all.push_back(random.uniform() - 0.5);
  }
  return values;
}

TEST(Simplify, PartsInZerosAreJoined) {
  for (int axis : {0, 1}) {
    for (const std::vector<int64_t>& order :
         std::vector<std::vector<int64_t>>{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}}) {
      Graph graph = sum_of_padded(order, {0, 3, 4, 9}, axis, 9), simple = simplify(graph);
      verify(simple);
      EXPECT_EQ(count(simple), 1u) << print(simple);
      const Node& joined = simple.outputs[0].node();
      ASSERT_TRUE(joined.is(op::concat)) << print(simple);
      EXPECT_EQ(joined.inputs, graph.inputs);
      EXPECT_EQ(run_graph(simple, values_for(graph), "reference"),
                run_graph(graph, values_for(graph), "reference"));
    }
  }
}

TEST(Simplify, WhatLiesAroundJoinedPartsStays) {
  Graph graph = sum_of_padded({0, 1}, {2, 5, 6}, 1, 10), simple = simplify(graph);
  verify(simple);
  EXPECT_EQ(count(simple), 2u) << print(simple);
  EXPECT_TRUE(simple.outputs[0].node().is(op::pad)) << print(simple);
  EXPECT_EQ(run_graph(simple, values_for(graph), "reference"),
            run_graph(graph, values_for(graph), "reference"));
}

TEST(Simplify, PartsThatDoNotTouchOrLieInOthersThanZerosAreLeftAlone) {
  for (const Graph& graph :
       {sum_of_padded({0, 2}, {0, 3, 4, 9}, 1, 9), sum_of_padded({0, 1}, {0, 3, 9}, 1, 9, 1.0)}) {
    EXPECT_TRUE(structurally_equal(simplify(graph), graph)) << print(graph);
  }
  Tensor x = f32(Shape{4, 3});
  Graph overlap{{x}, {pad(x, {0, 0}, {0, 2}) + pad(x, {0, 2}, {0, 0})}, {}};
  EXPECT_TRUE(structurally_equal(simplify(overlap), overlap));
  Graph other_axes{{x}, {pad(x, {0, 0}, {4, 3}) + pad(x, {4, 3}, {0, 0})}, {}};
  EXPECT_TRUE(structurally_equal(simplify(other_axes), other_axes));
}

TEST(Simplify, TheGradientOfASplitIsOneConcat) {
  Tensor x = f32(Shape{4, 9});
  std::vector<Tensor> parts = split(x, {3, 1, 5}, 1);
  std::vector<Tensor> outputs = {parts[0] * 2.0, square(parts[1]), exp(parts[2])}, by;
  for (const Tensor& y : outputs) by.push_back(f32(y.shape()));
  Graph graph{{x, by[0], by[1], by[2]}, gradient(outputs, by, {x}), {}};
  Graph simple = simplify(graph);
  EXPECT_TRUE(simple.outputs[0].node().is(op::concat)) << print(simple);
}

}  // namespace
}  // namespace wafer
