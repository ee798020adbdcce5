#include "wafer/pass/epilogue.h"

#include <limits>

#include "tests/pass/run_graph.h"
#include "wafer/op/activation.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/pool.h"
#include "wafer/pass/precision.h"

namespace wafer {
namespace {
using namespace testing;

Tensor input(DType dtype, const Shape& shape, const char* name = "x") {
  return make_input({dtype, shape}, name);
}

Graph joined(const Graph& graph) {
  return fuse_epilogues(graph, [](const Node&) { return true; });
}

// The first output of a node that some other node reads.
Tensor handle_of(const Graph& graph, const Node& wanted) {
  for (const Node* node : topological_order(graph)) {
    for (const Tensor& value : node->inputs) {
      if (&value.node() == &wanted && value.index() == 0) return value;
    }
  }
  return {};
}

// The one group of the graph.
ContractionGroup group_of(const Graph& graph) {
  for (const Node* node : topological_order(graph)) {
    if (auto group = contraction_group(*node)) return *group;
  }
  ADD_FAILURE() << print(graph);
  return {};
}

TEST(Epilogue, BiasResidualAndReluGoBehindAConvolution) {
  Tensor x = input(DType::f32, {2, 3, 5, 5}), w = input(DType::f32, {3, 3, 3, 3}, "w");
  Tensor b = input(DType::f32, {3}, "b");
  Tensor y = relu(conv(x, w, b, {.padding = {1}}) + x);
  Graph graph = joined({{x, w, b}, {y}, {}});
  verify(graph);
  ContractionGroup group = group_of(graph);
  EXPECT_TRUE(group.contraction->is(op::conv));
  EXPECT_EQ(group.bias, 2);
  EXPECT_EQ(group.residual, 3);
  EXPECT_TRUE(group.relu);
  EXPECT_EQ(count(graph, op::add), 0u) << print(graph);
}

TEST(Epilogue, WhatIsReadElsewhereIsKept) {
  Tensor x = input(DType::f32, {4, 8}), w = input(DType::f32, {8, 8}, "w");
  Tensor b = input(DType::f32, {8}, "b");
  Tensor before = linear(x, w, b);
  Graph graph = joined({{x, w, b}, {relu(before), before * 2.0}, {}});
  verify(graph);
  EXPECT_FALSE(group_of(graph).relu);
  EXPECT_EQ(group_of(graph).bias, 2);
  EXPECT_EQ(count(graph, op::relu), 1u);
}

TEST(Epilogue, AReluWithALimitGoesBehindAConvolutionAndAProduct) {
  Tensor x = input(DType::f32, {2, 3, 5, 5}), w = input(DType::f32, {3, 3, 3, 3}, "w");
  Tensor v = input(DType::f32, {5, 4}, "v");
  Graph graph = joined({{x, w}, {relu6(conv(x, w, Tensor(), {.padding = {1}}))}, {}});
  verify(graph);
  EXPECT_TRUE(group_of(graph).relu);
  EXPECT_EQ(group_of(graph).limit, 6);
  EXPECT_EQ(count(graph, op::minimum) + count(graph, op::maximum), 0u) << print(graph);
  graph = joined({{x, v}, {clamp(matmul(x, v), 0, 1.5)}, {}});
  EXPECT_EQ(group_of(graph).limit, 1.5) << print(graph);
}

TEST(Epilogue, OtherLimitsStay) {
  Tensor x = input(DType::f32, {4, 8}), w = input(DType::f32, {8, 8}, "w");
  Tensor bound = input(DType::f32, {4, 8}, "bound");
  Tensor y = matmul(x, w);
  for (const Tensor& z : {clamp(y, -1, 6), minimum(y, 6.0), maximum(y, 1.0),
                          minimum(maximum(y, 0.0), bound), minimum(relu(y), -1.0)}) {
    Graph graph = joined({{x, w, bound}, {z}, {}});
    verify(graph);
    EXPECT_EQ(count(graph, op::minimum), count({{x, w, bound}, {z}, {}}, op::minimum));
  }
}

TEST(Epilogue, ATargetSaysWhichContractionsTakeIt) {
  Tensor x = input(DType::f32, {2, 3, 5, 5}), w = input(DType::f32, {3, 3, 5, 5}, "w");
  Tensor v = input(DType::f32, {3, 4}, "v");
  Tensor y = relu(matmul(flatten(relu(conv(x, w, Tensor(), {})), 1), v));
  Graph graph =
      fuse_epilogues({{x, w, v}, {y}, {}}, [](const Node& node) { return node.is(op::matmul); });
  verify(graph);
  EXPECT_TRUE(group_of(graph).contraction->is(op::matmul));
  EXPECT_EQ(count(graph, op::fused), 1u) << print(graph);
  EXPECT_EQ(count(graph, op::relu), 1u);
}

TEST(Epilogue, ABiasOfRowsIsNoBias) {
  Tensor x = input(DType::f32, {8, 8}), w = input(DType::f32, {8, 8}, "w");
  Tensor rows = input(DType::f32, {8, 1}, "rows");
  Graph graph = joined({{x, w, rows}, {matmul(x, w) + rows}, {}});
  EXPECT_EQ(count(graph, op::fused), 0u) << print(graph);
}

TEST(Epilogue, ProductsOfSeveralDimensionsKeepTheirShape) {
  Tensor x = input(DType::f32, {2, 5, 8}), w = input(DType::f32, {17, 8}, "w");
  Tensor b = input(DType::f32, {17}, "b"), r = input(DType::f32, {2, 5, 17}, "r");
  Graph graph{{x, w, b, r}, {relu(linear(x, w, b) + r)}, {}};
  Graph fused = joined(graph);
  verify(fused);
  EXPECT_EQ(group_of(fused).residual, 3) << print(fused);
  EXPECT_EQ(fused.outputs[0].shape(), (Shape{2, 5, 17}));
  GraphValues inputs = random_values(graph, 5);
  expect_near(run_graph(graph, inputs, "cpu"), run_graph(graph, inputs, "reference"), 1e-5, "3-d");
}

// With every part on and off, both layouts of the input's channels, by whatever kernel there is.
TEST(Epilogue, AgreesWithTheReference) {
  uint64_t seed = 0;
  for (int64_t channels : {1, 3, 17}) {
    for (int64_t batch : {1, 7, 64}) {
      for (int parts = 0; parts < 12; ++parts) {
        Tensor x = input(DType::f32, {batch, channels, 6, 5});
        Tensor w = input(DType::f32, {17, channels, 3, 3}, "w"), b = input(DType::f32, {17}, "b");
        Tensor r = input(DType::f32, {batch, 17, 6, 5}, "r");
        Tensor flat_w = input(DType::f32, {10, 17 * 30}, "v"), c = input(DType::f32, {10}, "c");
        Tensor y = conv(x, w, parts & 1 ? b : Tensor(), {.padding = {1}});
        if (parts & 2) y = y + r;
        if (parts & 4) y = relu(y);
        if (parts & 8) y = clamp(y, 0, 0.75);
        Tensor z = linear(flatten(y, 1), flat_w, parts & 1 ? c : Tensor());
        if (parts & 4) z = relu(z);
        if (parts & 8) z = clamp(z, 0, 0.75);
        Graph graph{{x, w, b, r, flat_w, c}, {y * 1.5, z}, {}};
        GraphValues inputs = random_values(graph, ++seed);
        std::string what = str(channels, " channels, batch ", batch, ", parts ", parts);
        expect_near(run_graph(graph, inputs, "cpu"), run_graph(graph, inputs, "reference"), 1e-5,
                    what);
        Graph lowered = apply_precision(graph, Precision::bf16);
        expect_near(run_graph(lowered, inputs, "cpu"), run_graph(lowered, inputs, "reference"),
                    0.02, what + ", bf16");
      }
    }
  }
}

// A diverged model shows: NaN is not hidden behind a limit.
TEST(Epilogue, NanPassesLimits) {
  Tensor x = input(DType::f32, {2, 3, 9, 9}), w = input(DType::f32, {5, 3, 3, 3}, "w");
  Tensor d = input(DType::f32, {3, 1, 3, 3}, "d"), v = input(DType::f32, {9, 4}, "v");
  Graph graph{{x, w, d, v},
              {relu6(conv(x, w, Tensor(), {})), relu6(conv(x, d, Tensor(), {.groups = 3})),
               relu6(matmul(x, v))},
              {}};
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    Graph program = apply_precision(graph, precision);
    GraphValues inputs = random_values(graph, 11);
    inputs[0][7] = std::numeric_limits<double>::quiet_NaN();
    GraphValues expected = run_graph(program, inputs, "reference");
    GraphValues got = run_graph(program, inputs, "cpu");
    for (size_t i = 0; i < expected.size(); ++i) {
      size_t found = 0;
      for (size_t k = 0; k < expected[i].size(); ++k) {
        found += std::isnan(expected[i][k]);
        EXPECT_EQ(std::isnan(got[i][k]), std::isnan(expected[i][k])) << "output " << i;
      }
      EXPECT_GT(found, 0u);
    }
  }
}

TEST(Pool, MasksAndSumsOfGradientsGoToTheSource) {
  for (int64_t kernel : {2, 3}) {
    for (int64_t padding : {0, 1}) {
      Tensor x = input(DType::f32, {7, 17, 9, 8}), b = input(DType::f32, {17}, "b");
      Tensor bias = reshape(b, std::vector<int64_t>{1, 17, 1, 1});
      Tensor y = max_pool2d(relu(x + bias), kernel, 2, padding);
      Tensor loss = reduce_sum(y * y);
      Graph graph{{x, b}, gradient({loss}, {scalar_like(loss, 1)}, {x, b}), {}};
      Graph moved = mask_pooled_gradients(graph);
      verify(moved);
      for (const Node* node : topological_order(moved)) {
        bool behind = !node->is(op::where) || node->inputs[1].type() == y.type();
        bool at_source =
            !node->is(op::reduce_sum) || !node->inputs[0].node().is(op::max_pool_gradient);
        EXPECT_TRUE(behind && at_source) << print(moved);
      }
      GraphValues inputs = random_values(graph, static_cast<uint64_t>(kernel));
      // The reference runs the same passes; before them the graph is run op by op.
      GraphValues plain;
      {
        Graph kept = graph;
        for (const Node* node : topological_order(graph)) {
          if (node->is(op::relu)) kept.outputs.push_back(handle_of(graph, *node));
        }
        plain = run_graph(kept, inputs, "reference");
        plain.resize(graph.outputs.size());
      }
      expect_near(run_graph(graph, inputs, "cpu"), plain, 1e-5,
                  str("kernel ", kernel, ", padding ", padding));
    }
  }
}

TEST(Pool, AReluThatIsReadElsewhereStays) {
  Tensor x = input(DType::f32, {2, 3, 4, 4});
  Tensor h = relu(x);
  Graph graph{{x}, {max_pool2d(h, 2), reduce_sum(h)}, {}};
  EXPECT_TRUE(structurally_equal(mask_pooled_gradients(graph), graph));
}

}  // namespace
}  // namespace wafer
