#include "wafer/select/traffic.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/select/helpers.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/registry.h"

namespace wafer::select {
namespace {

using testing_select::real;

constexpr double block = 64 * 64 * 4;  // bytes of each value below

// The steps of a graph on the reference device, one for each op, and their traffic.
class Traffics {
 public:
  Traffics(std::vector<Tensor> inputs, std::vector<Tensor> outputs) {
    Graph graph;
    graph.inputs = std::move(inputs);
    graph.outputs = std::move(outputs);
    artifact_ = device("reference")->target().compile(graph, {});
    traffic_ = traffic_of(*artifact_);
  }
  // Of the step of an op, which is there once.
  const Traffic& of(const std::string& op) const {
    auto found = std::find_if(artifact_->steps.begin(), artifact_->steps.end(),
                              [&](const StepInfo& step) { return step.op == op; });
    return traffic_.at(static_cast<size_t>(found - artifact_->steps.begin()));
  }

 private:
  std::shared_ptr<const Artifact> artifact_;
  std::vector<Traffic> traffic_;
};

TEST(Traffic, AStepAloneFindsWhatItsLastRunLeft) {
  Tensor a = real(Shape{64, 64}), b = real(Shape{64, 64});
  Traffics steps({a, b}, {matmul(a, b)});
  const auto& shares = steps.of("matmul").shares;
  ASSERT_EQ(shares.size(), 3u);
  for (auto [share, distance] : shares) {
    EXPECT_DOUBLE_EQ(share, 1.0 / 3);
    EXPECT_DOUBLE_EQ(distance, 3 * block);
  }
}

TEST(Traffic, AValueIsAsFarAsWhatWasTouchedSince) {
  Tensor a = real(Shape{64, 64});
  Tensor first = exp(a);
  Tensor y = sin(cos(sqrt(first)));
  Traffics steps({a}, {matmul(y, reshape(reshape(first, Shape{4096}), Shape{64, 64}))});
  const auto& near = steps.of("cos").shares;
  EXPECT_DOUBLE_EQ(near.at(0).second, 2 * block) << "made by the step before";
  const auto& product = steps.of("matmul").shares;
  EXPECT_DOUBLE_EQ(product.at(0).second, 3 * block);
  // Read by sqrt, which was followed by cos and sin, and seen through two reshapes.
  EXPECT_DOUBLE_EQ(product.at(1).second, 4 * block);
}

TEST(Traffic, InputsOfARunWereTouchedInTheLastOne) {
  Tensor a = real(Shape{64, 64}), w = real(Shape{64, 64});
  Traffics steps({a, w}, {sin(cos(sqrt(matmul(exp(a), w))))});
  // Since its last run: cos, sin and sqrt of this and exp of the next, two blocks each. No more
  // than what is in use counts.
  double in_use = steps.of("matmul").shares.at(1).second;
  EXPECT_GE(in_use, 3 * block);
  EXPECT_LE(in_use, 8 * block);
  EXPECT_GT(steps.of("exp").shares.at(0).second, 2 * block);
}

TEST(Traffic, EachShareIsMovedAtTheSpeedOfItsDistance) {
  Calibration c;
  c.bandwidth = {{1e4, 1e11}, {1e6, 4e10}, {1e8, 1e10}};
  Work work{"matmul", DType::f32, 0, 1e6, {}, {}};
  EXPECT_DOUBLE_EQ(memory_seconds(c, work, {{{0.25, 1e8}, {0.75, 1e6}}}),
                   0.25e6 / 1e10 + 0.75e6 / 4e10);
}

TEST(Traffic, NothingInANodelessOrEmptyStepIsDividedByNothing) {
  Tensor empty = real(Shape{0, 64}), w = real(Shape{64, 64});
  Traffics steps({empty, w}, {matmul(empty, w)});
  for (auto [share, distance] : steps.of("matmul").shares) {
    EXPECT_GE(share, 0);
    EXPECT_LE(share, 1);
    EXPECT_GE(distance, 0);
  }
}

}  // namespace
}  // namespace wafer::select
