#include "wafer/nn/stochastic_depth.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/nn/helpers.h"
#include "wafer/op/create.h"
#include "wafer/tensor/eval.h"

using namespace wafer;
using wafer::testing_nn::contains;
using wafer::testing_nn::message;

TEST(StochasticDepth, DropsWholeSamples) {
  nn::StochasticDepth layer(0.25);
  Tensor y = layer(ones({400, 2, 3}));
  evaluate({y});
  auto* values = static_cast<const float*>(y.storage()->data());
  int kept = 0;
  for (int sample = 0; sample < 400; ++sample) {
    float first = values[sample * 6];
    EXPECT_TRUE(first == 0 || std::abs(first - 1 / 0.75f) < 1e-6f) << first;
    for (int i = 1; i < 6; ++i) EXPECT_EQ(values[sample * 6 + i], first);
    kept += first != 0;
  }
  EXPECT_NEAR(kept, 300, 45);  // 5 standard deviations
}

TEST(StochasticDepth, EvaluationKeepsAll) {
  nn::StochasticDepth layer(0.5);
  layer.eval();
  Tensor x = ones({3, 2});
  EXPECT_TRUE(layer(x) == x);
  EXPECT_TRUE(contains(message([] { nn::StochasticDepth layer(1.5); }), "a probability of 1.5"));
}
