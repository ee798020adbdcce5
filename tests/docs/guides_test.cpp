// Runs what docs/adding-an-op.md and docs/adding-a-backend.md build.
#include <gtest/gtest.h>

#include <cmath>

#include "wafer/op/elementwise.h"
#include "wafer/op/reduce.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/eval.h"
#include "wafer/tensor/grad.h"

namespace wafer {
Tensor softsign(const Tensor& x);
namespace abacus {
Backend find_backend();
}

namespace {

TEST(AddingAnOp, TheGuidesOpComputesAndHasItsGradient) {
  std::vector<double> points = {-3, -0.5, 0, 0.25, 8};
  Tensor x = Tensor::from_values(points, {5});
  Tensor y = softsign(x);
  Tensor gradient = grad(sum(y), {x})[0];
  evaluate({y, gradient}, device("reference"));
  auto values = y.data<double>(), slopes = gradient.data<double>();
  for (size_t i = 0; i < points.size(); ++i) {
    double p = points[i];
    EXPECT_NEAR(values[i], p / (1 + std::abs(p)), 1e-15);
    EXPECT_NEAR(slopes[i], 1 / ((1 + std::abs(p)) * (1 + std::abs(p))), 1e-15);
  }
}

TEST(AddingAnOp, TheGuidesOpRefusesBooleans) {
  EXPECT_THROW(softsign(Tensor::from_values<bool>({true}, {1})), UserError);
}

TEST(AddingABackend, TheGuidesBackendAddsAndMultiplies) {
  Backend backend = abacus::find_backend();
  ASSERT_EQ(backend.devices.size(), 1u);
  Tensor a = Tensor::from_values<float>({1, 2, 3}, {3});
  Tensor b = Tensor::from_values<float>({10, 20, 30}, {3});
  Tensor c = (a + b) * b;
  evaluate({c}, backend.devices[0]);
  EXPECT_EQ(c.data<float>(), (std::vector<float>{110, 440, 990}));
}

TEST(AddingABackend, WhatItCannotDoIsAnErrorWithItsReason) {
  Backend backend = abacus::find_backend();
  Tensor y = sin(Tensor::from_values<float>({1, 2}, {2}));
  try {
    evaluate({y}, backend.devices[0]);
    FAIL() << "sin ran on a device without it";
  } catch (const UserError& error) {
    std::string text = error.what();
    EXPECT_NE(text.find("[sin]"), std::string::npos) << text;
    EXPECT_NE(text.find("abacus"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace wafer
