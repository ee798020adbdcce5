#include "wafer/pass/batch_parts.h"

#include "tests/pass/run_graph.h"
#include "wafer/op/activation.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/op/softmax.h"
#include "wafer/pass/precision.h"

namespace wafer {
namespace {
using namespace testing;

Tensor input(const Shape& shape, const char* name = "x") {
  return make_input({DType::f32, shape}, name);
}

// A depthwise net with what such nets have: a pointwise and a depthwise convolution with biases, a
// residual, squeeze and excitation, two branches joined, a global mean and a linear layer. The
// weights are inputs that all examples share.
Graph small_net(int64_t batch) {
  Tensor x = input({batch, 3, 10, 9}), w = input({8, 3, 1, 1}, "w"), b = input({8}, "b");
  Tensor d = input({8, 1, 3, 3}, "d"), s = input({8, 8}, "s"), v = input({5, 16}, "v");
  Tensor unused = input({batch, 2}, "unused");
  Tensor h = relu6(conv(x, w, b, {}));
  Tensor e = relu(conv(h, d, Tensor(), {.padding = {1}, .groups = 8}) + h);
  Tensor scale = sigmoid(linear(mean(e, {2, 3}), s));
  e = e * reshape(scale, Shape{batch, 8, 1, 1});
  Tensor joined = concat({max_pool2d(e, 2), avg_pool2d(h, 2)}, 1);
  Tensor y = linear(mean(joined, {2, 3}), v);
  return {{x, w, b, d, s, v, unused}, {y, transpose(e, {0, 2, 3, 1})}, {}};
}

// The number of examples in a part, or 0 where the batch is whole.
int64_t part_of(const Graph& graph) {
  for (const Node* node : topological_order(graph)) {
    if (node->is(op::scan)) return node->subgraphs[0]->inputs[0].shape().size(0);
  }
  return 0;
}

TEST(BatchParts, ComputeWhatTheWholeBatchDoes) {
  for (int64_t batch : {2, 7, 12, 64}) {
    Graph graph = small_net(batch);
    GraphValues inputs = random_values(graph, static_cast<uint64_t>(batch));
    for (Precision precision : {Precision::f32, Precision::bf16}) {
      Graph program = apply_precision(graph, precision);
      for (size_t cache : {size_t{1}, size_t{24000}}) {
        Graph parts = run_batch_in_parts(program, cache);
        verify(parts);
        if (cache == 1) {
          EXPECT_EQ(part_of(parts), 1) << print(parts);
        }
        for (const char* device : {"cpu", "reference"}) {
          expect_near(run_graph(parts, inputs, device), run_graph(program, inputs, device),
                      precision == Precision::f32 ? 1e-5 : 0.02,
                      str("batch ", batch, ", cache ", cache, " on ", device));
        }
      }
    }
  }
}

TEST(BatchParts, APartIsWhatFitsAndDividesTheBatch) {
  // The largest step reads and writes 2 x 8 x 10 x 9 floats an example.
  constexpr size_t example = 2 * 8 * 90 * 4;
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(12), 1)), 1);
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(12), 5 * example)), 4);
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(7), 5 * example)), 1);
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(12), 12 * example)), 0) << "the batch fits";
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(1), 1)), 0);
}

void expect_whole(const Graph& graph) {
  EXPECT_TRUE(structurally_equal(run_batch_in_parts(graph, 1), graph)) << print(graph);
}

TEST(BatchParts, WhatMixesExamplesStaysWhole) {
  Tensor x = input({8, 3, 6, 6}), d = input({3, 1, 3, 3}, "d");
  Tensor y = conv(x, d, Tensor(), {.padding = {1}, .groups = 3});
  ASSERT_EQ(part_of(run_batch_in_parts({{x, d}, {y}, {}}, 1)), 1);
  Tensor w = input({8, 3, 6, 6}, "w");
  for (const Tensor& mixed :
       {reduce_sum(y, {0, 2, 3}), y - mean(y, {0}, true), transpose(y, {1, 0, 2, 3}),
        concat({y, y}, 0), reshape(y, Shape{4, 6, 6, 6}), cumsum(y, 0), softmax(y, 0),
        matmul(reshape(y, Shape{8, 108}), reshape(y, Shape{8, 108}), true, false)}) {
    expect_whole({{x, d, w}, {mixed}, {}});
  }
  expect_whole({{x, d}, {y, d * 2.0}, {}});  // an output of no example
  Graph in_place{{x, d}, {y}, {0}};
  expect_whole(in_place);
}

TEST(BatchParts, StepsThatComputeMuchStayWhole) {
  Tensor x = input({8, 64, 12, 12}), w = input({64, 64, 3, 3}, "w");
  expect_whole({{x, w}, {conv(x, w, Tensor(), {.padding = {1}})}, {}});
}

TEST(BatchParts, AScanCountsItsConstants) {
  Tensor x = input({4, 3, 6, 6});
  Tensor d = Tensor::from_values<float>(std::vector<float>(27, 0.5f), Shape{3, 1, 3, 3});
  Graph graph{{x}, {conv(x, d, Tensor(), {.groups = 3})}, {}};
  Graph parts = run_batch_in_parts(graph, 1);
  ASSERT_EQ(part_of(parts), 1);
  const Target& target = device("reference")->target();
  EXPECT_EQ(target.compile(parts, {})->memory.constants, 27u * 4);
}

}  // namespace
}  // namespace wafer
