#include "wafer/pass/freeze.h"

#include "tests/pass/run_graph.h"
#include "wafer/op/norm.h"
#include "wafer/op/op.h"

namespace wafer {
namespace {
using namespace testing;

// Two convolutions with batch norm, one with a bias too, a residual sum and a linear layer. Inputs:
// the weights, then x [batch, channels, 6, 6].
Graph residual_block(int64_t batch, int64_t channels) {
  auto f32 = [](const Shape& shape, const char* name) {
    return make_input({DType::f32, shape}, name);
  };
  Tensor x = f32({batch, channels, 6, 6}, "x");
  Tensor w1 = f32({17, channels, 3, 3}, "w1"), w2 = f32({17, 17, 3, 3}, "w2");
  Tensor b2 = f32({17}, "b2"), v = f32({10, 17 * 36}, "v"), c = f32({10}, "c");
  Graph graph;
  graph.inputs = {w1, w2, b2, v, c};
  auto norm = [&](const Tensor& y) {
    std::vector<Tensor> four;
    for (const char* name : {"mean", "variance", "weight", "bias"}) {
      four.push_back(f32({17}, name));
      graph.inputs.push_back(four.back());
    }
    return batch_norm_inference(y, four[0], four[1], four[2], four[3], 1e-3);
  };
  Tensor h = relu(norm(conv(x, w1, {}, {.padding = {1}})));
  Tensor y = relu(norm(conv(h, w2, b2, {.padding = {1}})) + h);
  graph.outputs = {linear(flatten(y, 1), v, c)};
  graph.inputs.push_back(x);
  return graph;
}

TEST(Freeze, BatchNormsGoIntoConvolutionsAndWeightsBecomeConstants) {
  Graph graph = residual_block(2, 3);
  EXPECT_EQ(count(fold_batch_norms(graph), op::batch_norm_inference), 0u);
  for (const char* name : {"cpu", "reference"}) {
    auto on = device(name);
    GraphValues inputs = random_values(graph, 1);
    auto memory = on_device(*on, graph, inputs);
    memory.pop_back();
    Graph frozen = freeze(graph, memory, *on);
    verify(frozen);
    ASSERT_EQ(frozen.inputs.size(), 1u);
    // What is left depends on x: scaled weights are constants.
    EXPECT_EQ(count(frozen, op::sqrt), 0u) << print(frozen);
    EXPECT_EQ(count(frozen, op::conv), 2u);
  }
}

TEST(Freeze, WhatIsReadElsewhereIsNotFolded) {
  Tensor x = make_input({DType::f32, Shape{2, 3, 4, 4}}, "x");
  Tensor w = make_input({DType::f32, Shape{3, 3, 1, 1}}, "w");
  Tensor s = make_input({DType::f32, Shape{3}}, "s");
  Tensor y = conv(x, w, {}, {});
  Graph graph{{w, s, x}, {batch_norm_inference(y, s, s, s, s, 1e-3), y * 2.0}, {}};
  EXPECT_EQ(count(fold_batch_norms(graph), op::batch_norm_inference), 1u);
}

TEST(Freeze, AgreesWithTheReference) {
  uint64_t seed = 0;
  for (int64_t channels : {1, 3, 17}) {
    for (int64_t batch : {1, 7, 64}) {
      Graph graph = residual_block(batch, channels);
      GraphValues inputs = random_values(graph, ++seed);
      for (size_t i : {6u, 10u}) {  // variances
        for (double& value : inputs[i]) value = 0.5 + std::abs(value);
      }
      GraphValues expected = run_graph(graph, inputs, "reference");
      for (Precision precision : {Precision::f32, Precision::bf16}) {
        auto on = device("cpu");
        auto memory = on_device(*on, graph, inputs);
        memory.pop_back();
        Graph frozen = freeze(graph, memory, *on, precision);
        GraphValues got = run_graph(frozen, {inputs.back()}, "cpu");
        expect_near(got, expected, precision == Precision::f32 ? 1e-5 : 0.03,
                    str(channels, " channels, batch ", batch, ", ", name(precision)));
      }
    }
  }
}

}  // namespace
}  // namespace wafer
