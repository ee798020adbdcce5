#include "wafer/nn/init.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "tests/nn/helpers.h"
#include "wafer/nn/linear.h"
#include "wafer/nn/recurrent.h"

using namespace wafer;
using wafer::testing_nn::contains;
using wafer::testing_nn::host;
using wafer::testing_nn::message;

namespace {
std::vector<float> drawn(const nn::init::Initialiser& initialiser, const Shape& shape) {
  RandomStream random = nn::init::stream_of(5, "weight");
  return host(nn::init::make(initialiser, shape, random));
}

double mean_of(const std::vector<float>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation_of(const std::vector<float>& values) {
  double mean = mean_of(values), total = 0;
  for (float v : values) total += (v - mean) * (v - mean);
  return std::sqrt(total / static_cast<double>(values.size()));
}

double largest_of(const std::vector<float>& values) {
  double largest = 0;
  for (float v : values) largest = std::max(largest, std::fabs(static_cast<double>(v)));
  return largest;
}

// A uniform within the bound: reaches nearly to it, and has its deviation.
void expect_uniform_within(const std::vector<float>& values, double bound) {
  EXPECT_LE(largest_of(values), bound);
  EXPECT_GT(largest_of(values), 0.99 * bound);
  EXPECT_NEAR(deviation_of(values), bound / std::sqrt(3), 0.03 * bound);
}
}  // namespace

TEST(Init, UniformBounds) {
  Shape conv{64, 32, 3, 3};  // fan in 288, fan out 576
  expect_uniform_within(drawn(nn::init::kaiming_uniform(), conv), std::sqrt(6.0 / 288));
  expect_uniform_within(drawn(nn::init::kaiming_uniform(std::sqrt(5)), conv), 1 / std::sqrt(288.0));
  expect_uniform_within(drawn(nn::init::xavier_uniform(2), conv), 2 * std::sqrt(6.0 / (288 + 576)));
  auto shifted = drawn(nn::init::uniform(2, 3), Shape{10000});
  EXPECT_NEAR(mean_of(shifted), 2.5, 0.02);
}

TEST(Init, NormalDeviations) {
  Shape shape{200, 100};
  EXPECT_NEAR(deviation_of(drawn(nn::init::normal(1, 0.5), shape)), 0.5, 0.01);
  EXPECT_NEAR(mean_of(drawn(nn::init::normal(1, 0.5), shape)), 1, 0.02);
  EXPECT_NEAR(deviation_of(drawn(nn::init::kaiming_normal(), shape)), std::sqrt(2.0 / 100), 3e-3);
  EXPECT_NEAR(deviation_of(drawn(nn::init::xavier_normal(), shape)), std::sqrt(2.0 / 300), 2e-3);
}

TEST(Init, TruncatedNormalStaysInside) {
  auto values = drawn(nn::init::trunc_normal(0, 1, -0.5, 0.7), Shape{5000});
  EXPECT_GE(*std::min_element(values.begin(), values.end()), -0.5f);
  EXPECT_LE(*std::max_element(values.begin(), values.end()), 0.7f);
  EXPECT_TRUE(contains(message([] { nn::init::trunc_normal(0, 1, 50, 60); }), "hardly ever"));
}

TEST(Init, OrthogonalRowsOrColumns) {
  for (Shape shape : {Shape{4, 9}, Shape{9, 4}, Shape{3, 2, 2}}) {
    auto values = drawn(nn::init::orthogonal(2), shape);
    auto rows = static_cast<size_t>(shape.size(0)), columns = values.size() / rows;
    bool wide = rows <= columns;
    size_t count = std::min(rows, columns), length = std::max(rows, columns);
    for (size_t i = 0; i < count; ++i) {
      for (size_t j = 0; j < count; ++j) {
        double product = 0;
        for (size_t k = 0; k < length; ++k) {
          product += wide ? values[i * columns + k] * values[j * columns + k]
                          : values[k * columns + i] * values[k * columns + j];
        }
        EXPECT_NEAR(product, i == j ? 4 : 0, 1e-5) << shape;
      }
    }
  }
}

TEST(Init, ConstantsAndErrors) {
  EXPECT_EQ(drawn(nn::init::ones(), Shape{3}), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(drawn(nn::init::zeros(), Shape{2}), (std::vector<float>{0, 0}));
  EXPECT_TRUE(contains(message([] { drawn(nn::init::kaiming_uniform(), Shape{3}); }),
                       "need two dimensions"));
}

TEST(Init, LayersHavePyTorchsBounds) {
  nn::manual_seed(0);
  nn::Linear linear{400, 300};
  expect_uniform_within(host(linear.weight), 0.05);
  EXPECT_LE(largest_of(host(linear.bias)), 0.05);
  EXPECT_GT(largest_of(host(linear.bias)), 0.045);
  nn::GRU gru{50, 100};
  for (const Tensor& value : gru.parameters()) EXPECT_LE(largest_of(host(value)), 0.1);
}

TEST(Init, ManualSeedRepeatsConstruction) {
  nn::manual_seed(11);
  nn::Linear a{5, 5}, b{5, 5};
  nn::manual_seed(11);
  nn::Linear c{5, 5};
  EXPECT_EQ(host(a.weight), host(c.weight));
  EXPECT_NE(host(a.weight), host(b.weight));
}

TEST(Init, KaimingByFanOut) {
  auto values = drawn(nn::init::kaiming_normal_fan_out(), Shape{64, 32, 3, 3});
  double expected = std::sqrt(2.0 / (64 * 9));
  EXPECT_NEAR(deviation_of(values), expected, 0.03 * expected);
}

TEST(Init, DeferredModulesHaveNoValues) {
  std::unique_ptr<nn::Linear> layer;
  {
    nn::init::Deferred without_values;
    layer = std::make_unique<nn::Linear>(3, 4);
    EXPECT_TRUE(nn::init::deferred());
  }
  EXPECT_FALSE(nn::init::deferred());
  EXPECT_FALSE(layer->weight.storage());
  EXPECT_EQ(layer->weight.shape(), (Shape{4, 3}));
  layer->initialise(2);
  nn::Linear drawn_at_once(3, 4);
  drawn_at_once.initialise(2);
  EXPECT_EQ(host(layer->weight), host(drawn_at_once.weight));
}

TEST(Init, RuleReplacesInitialisers) {
  nn::Linear layer(3, 4);
  layer.set_initialisers([](const nn::Module& module, const std::string& slot) {
    bool bias = slot == "bias" && dynamic_cast<const nn::Linear*>(&module);
    return bias ? nn::init::constant(2) : nn::init::Initialiser();
  });
  EXPECT_EQ(host(layer.bias), std::vector<float>(4, 2));
  layer.initialise(1);
  EXPECT_EQ(host(layer.bias), std::vector<float>(4, 2));
  EXPECT_GT(largest_of(host(layer.weight)), 0);
}
