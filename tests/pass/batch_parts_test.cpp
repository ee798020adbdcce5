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

Tensor weight(const Shape& shape) {
  RandomStream random(static_cast<uint64_t>(shape.elements()));
  std::vector<float> values;
  for (int64_t i = 0; i < shape.elements(); ++i)
    values.push_back(static_cast<float>(random.uniform()) - 0.5f);
  return Tensor::from_values<float>(values, shape);
}

// A depthwise net with what such nets have: a pointwise and a depthwise convolution with biases, a
// residual, squeeze and excitation, two branches joined, a global mean and a linear layer.
Graph small_net(int64_t batch) {
  Tensor x = input({batch, 3, 10, 9}), unused = input({batch, 2}, "unused");
  Tensor h = relu6(conv(x, weight({8, 3, 1, 1}), weight({8}), {}));
  Tensor e = relu(conv(h, weight({8, 1, 3, 3}), Tensor(), {.padding = {1}, .groups = 8}) + h);
  Tensor scale = sigmoid(linear(mean(e, {2, 3}), weight({8, 8})));
  e = e * reshape(scale, Shape{batch, 8, 1, 1});
  Tensor joined = concat({max_pool2d(e, 2), avg_pool2d(h, 2)}, 1);
  joined = concat({narrow(joined, 1, 8, 16), narrow(joined, 1, 0, 8)}, 1);
  Tensor y = linear(mean(joined, {2, 3}), weight({5, 16}));
  return {{x, unused}, {y, transpose(e, {0, 2, 3, 1})}, {}};
}
// What its largest step reads and writes of an example.
constexpr size_t example = 2 * 8 * 90 * 4;

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
      for (size_t cache : {example, 5 * example}) {
        Graph parts = run_batch_in_parts(program, cache);
        verify(parts);
        if (precision == Precision::f32 && cache == example) {
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
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(12), example)), 1);
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(12), 5 * example)), 4);
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(7), 3 * example)), 1);
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(7), 5 * example)), 0) << "crumbs";
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(12), example - 1)), 0) << "one does not fit";
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(12), 12 * example)), 0) << "the batch fits";
  EXPECT_EQ(part_of(run_batch_in_parts(small_net(1), example)), 0);
}

// Two depthwise convolutions, of which one example is 864 bytes.
constexpr size_t depthwise_example = 864;
Tensor depthwise(const Tensor& x) {
  Tensor d = weight({3, 1, 3, 3});
  Tensor h = conv(x, d, Tensor(), {.padding = {1}, .groups = 3});
  return conv(h, d, Tensor(), {.padding = {1}, .groups = 3});
}

void expect_whole(const Graph& graph, size_t cache) {
  EXPECT_TRUE(structurally_equal(run_batch_in_parts(graph, cache), graph)) << print(graph);
}

TEST(BatchParts, WhatMixesExamplesStaysWhole) {
  Tensor x = input({8, 3, 6, 6}), other = input({6}, "other");
  Tensor y = depthwise(x);
  ASSERT_EQ(part_of(run_batch_in_parts({{x}, {y}, {}}, depthwise_example)), 1);
  for (const Tensor& mixed :
       {reduce_sum(y, {0, 2, 3}), y - mean(y, {0}, true), transpose(y, {1, 0, 2, 3}),
        concat({y, y}, 0), reshape(y, Shape{4, 6, 6, 6}), cumsum(y, 0), softmax(y, 0),
        narrow(y, 0, 0, 4),
        matmul(reshape(y, Shape{8, 108}), reshape(y, Shape{8, 108}), true, false)}) {
    expect_whole({{x}, {mixed}, {}}, depthwise_example);
  }
  expect_whole({{x}, {y, weight({8, 2}) * 2.0}, {}}, depthwise_example);  // of no example
  expect_whole({{x, other}, {y + other}, {}}, depthwise_example);  // the same for all, not constant
  expect_whole({{x}, {y}, {0}}, depthwise_example);                // in place
}

TEST(BatchParts, WhatWouldNotGainStaysWhole) {
  Tensor x = input({8, 64, 12, 12}), w = weight({64, 64, 3, 3});
  auto same = [&](const Tensor& v) { return conv(v, w, Tensor(), {.padding = {1}}); };
  expect_whole({{x}, {same(same(x))}, {}}, 2 * 64 * 144 * 4);  // it computes much

  Tensor image = input({8, 3, 6, 6});
  Tensor one = conv(image, weight({3, 1, 3, 3}), Tensor(), {.padding = {1}, .groups = 3});
  expect_whole({{image}, {one}, {}}, depthwise_example);  // one step

  // 131 KB of weights, which each part reads, and 1 MB of the batch.
  Tensor wide = input({64, 4096});
  Graph shared{{wide}, {matmul(matmul(wide, weight({4096, 8})), weight({8, 8}))}, {}};
  expect_whole(shared, 4104 * 4);
  EXPECT_EQ(part_of(run_batch_in_parts(shared, 32 * 4104 * 4)), 32);
}

TEST(BatchParts, AsManyDimensionsAsThereAreLeaveNoneForTheParts) {
  Tensor x = input({16, 1, 1, 1, 1, 3, 6, 6});
  Tensor y = reshape(depthwise(reshape(x, Shape{16, 3, 6, 6})), Shape{16, 108});
  expect_whole({{x}, {y}, {}}, depthwise_example);
}

TEST(BatchParts, AScanCountsItsConstants) {
  Tensor x = input({4, 3, 6, 6});
  Graph parts = run_batch_in_parts({{x}, {depthwise(x)}, {}}, depthwise_example);
  ASSERT_EQ(part_of(parts), 1);
  const Target& target = device("reference")->target();
  EXPECT_EQ(target.compile(parts, {})->memory.constants, 27u * 4);
}

}  // namespace
}  // namespace wafer
