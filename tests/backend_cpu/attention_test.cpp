#include "wafer/op/attention.h"

#include <gtest/gtest.h>

#include "wafer/base/philox.h"
#include "wafer/base/threads.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/reduce.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/grad.h"

namespace wafer {
namespace {

Tensor normal(const Shape& shape, uint64_t seed) {
  RandomStream random(seed);
  std::vector<float> values;
  for (int64_t i = 0; i < shape.elements(); ++i)
    values.push_back(static_cast<float>(random.uniform()) * 4 - 2);
  return Tensor::from_values(values, shape);
}

TEST(Attention, NeverHoldsAllScores) {
  constexpr int64_t heads = 4, positions = 4096, width = 32;
  Type type{DType::f32, Shape{heads, positions, width}};
  Tensor q = make_input(type, "q"), k = make_input(type, "k"), v = make_input(type, "v");
  Tensor y = scaled_dot_product_attention(q, k, v);
  Tensor g = make_input(type, "g");
  std::vector<Tensor> gradients = grad(std::vector<Tensor>{y}, {g}, {q, k, v});
  Graph graph{{q, k, v, g}, {y, gradients[0], gradients[1], gradients[2]}, {}};
  ThreadCountScope scope(2);
  auto artifact = device("cpu")->target().compile(graph, {});
  size_t scores = heads * positions * positions * sizeof(float);
  EXPECT_LT(artifact->memory.arena, scores / 16);
}

// A compiled graph is kept and run again after the thread count has changed.
TEST(Attention, RunsOnMoreThreadsThanItWasMadeFor) {
  auto run = [](int count) {
    ThreadCountScope scope(count);
    Tensor q = normal({9, 40, 16}, 1), k = normal({9, 50, 16}, 2), v = normal({9, 50, 16}, 3);
    Tensor y = scaled_dot_product_attention(q, k, v);
    std::vector<float> all = y.data<float>();
    for (const Tensor& by : grad(reduce_sum(square(y)), {q, k, v})) {
      std::vector<float> values = by.data<float>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  std::vector<float> one = run(1), many = run(7);
  EXPECT_EQ(one, many);
}

// The greatest score has the whole weight, however large it is: with 48 columns the scale is no
// power of two, and rounds.
TEST(Attention, ScoresMayBeAnyFiniteNumbers) {
  constexpr int64_t keys = 20, width = 48;
  for (float size : {1e3f, 1.7e5f, 2.6e5f, 1e8f}) {
    std::vector<float> one(static_cast<size_t>(width), size), all;
    for (int64_t j = 0; j < keys; ++j)
      for (int64_t d = 0; d < width; ++d) all.push_back(size * (j == 7 ? 1.0f : 0.5f));
    Tensor v = normal({1, keys, width}, 3);
    Tensor y = scaled_dot_product_attention(Tensor::from_values(one, {1, 1, width}),
                                            Tensor::from_values(all, {1, keys, width}), v);
    std::vector<float> got = y.data<float>(), values = v.data<float>();
    for (size_t d = 0; d < got.size(); ++d) EXPECT_EQ(got[d], values[7 * width + d]) << size;
  }
}

TEST(Attention, WhatSeesNothingIsZeroAndHasNoGradient) {
  constexpr int64_t queries = 21, keys = 35, width = 8;
  Tensor q = normal({2, queries, width}, 1), k = normal({2, keys, width}, 2),
         v = normal({2, keys, width}, 3);
  std::vector<bool> seen;
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t j = 0; j < keys; ++j) seen.push_back(i != 5 && (i + j) % 3 != 0);
  Tensor mask = Tensor::from_values(seen, Shape{queries, keys});
  Tensor y = scaled_dot_product_attention(q, k, v, {.mask = mask});
  std::vector<Tensor> by = grad(reduce_sum(square(y)), {q, k, v});
  std::vector<float> result = y.data<float>(), by_query = by[0].data<float>();
  for (int64_t head = 0; head < 2; ++head) {
    for (int64_t i = 0; i < width; ++i) {
      auto at = static_cast<size_t>((head * queries + 5) * width + i);
      EXPECT_EQ(result[at], 0.0f);
      EXPECT_EQ(by_query[at], 0.0f);
      EXPECT_NE(result[at + width], 0.0f);
    }
  }
}

}  // namespace
}  // namespace wafer
