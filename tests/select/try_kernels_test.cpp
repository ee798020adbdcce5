#include "wafer/select/try_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/select/helpers.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/runtime/registry.h"
#include "wafer/select/predict.h"
#include "wafer/select/runner.h"
#include "wafer/select/work.h"

namespace wafer::select {
namespace {

using testing_select::real;

class TryKernels : public ::testing::Test {
 protected:
  void SetUp() override {
    Calibration c;
    c.device = "example";
    c.threads = 1;
    c.flops_per_second = {{"f32", 1e11}};
    c.bandwidth = {{1e4, 1e11}, {1e8, 1e10}};
    c.element_seconds = {{"add f32", 1e-10}};
    c.step_seconds = 2e-7;
    c.iteration_seconds = 3e-7;
    calibration_ = std::make_shared<Calibration>(c);
  }

  std::shared_ptr<const Artifact> compile(std::vector<Tensor> inputs, std::vector<Tensor> outputs) {
    Graph graph;
    graph.inputs = std::move(inputs);
    graph.outputs = std::move(outputs);
    return cpu_->target().compile(graph, {.threads = 1});
  }

  std::shared_ptr<Device> cpu_ = device("cpu");
  std::shared_ptr<const Calibration> calibration_;
  testing_select::CacheFolder folder_;
};

TEST_F(TryKernels, AKernelUnlikeAllMeasuredIsTriedOnceAndKept) {
  Tensor a = real(Shape{96, 64}), b = real(Shape{64, 80});
  auto artifact = compile({a, b}, {matmul(a, b)});
  auto tried = try_kernels(*cpu_, *artifact, calibration_);
  ASSERT_EQ(tried->samples.size(), 1u);
  EXPECT_EQ(tried->samples[0].kind, "matmul");
  EXPECT_GT(tried->samples[0].ratio, 0);
  EXPECT_EQ(try_kernels(*cpu_, *artifact, tried), tried) << "nothing new to try";
  ASSERT_EQ(folder_.files().size(), 1u);
  EXPECT_EQ(load_calibration(folder_.files()[0]).samples.size(), 1u);
}

TEST_F(TryKernels, PredictionsTakeWhatWasTried) {
  Tensor x = real(Shape{512, 300});
  auto artifact = compile({x}, {reduce_sum(x, {1})});
  auto tried = try_kernels(*cpu_, *artifact, calibration_);
  ASSERT_EQ(tried->samples.size(), 1u);
  EXPECT_EQ(tried->samples[0].kind, "reduce_sum last");
  Calibration slower = *tried;
  slower.samples[0].ratio *= 3;
  double once = predict(*cpu_, *artifact, *tried).seconds;
  EXPECT_NEAR(predict(*cpu_, *artifact, slower).seconds, 3 * once, 1e-6 * once);
}

TEST_F(TryKernels, AScanIsTriedAsAWholeAfterTheKernelsInsideIt) {
  Tensor h = real(Shape{16, 64}), w = real(Shape{64, 64});
  auto result = scan(
      [&](const std::vector<Tensor>& carries, const std::vector<Tensor>&) -> ScanStep {
        return {{tanh(matmul(carries[0], w))}, {}};
      },
      {h}, {}, {.length = 12});
  auto artifact = compile({h, w}, {result.carries[0]});
  auto tried = try_kernels(*cpu_, *artifact, calibration_);
  std::vector<std::string> kinds;
  for (const Sample& sample : tried->samples) kinds.push_back(sample.kind);
  EXPECT_EQ(kinds, (std::vector<std::string>{"matmul", "elementwise", "scan"}));
  const Node& node = *artifact->steps.back().node;
  ASSERT_TRUE(node.is(op::scan));
  double expected = ideal_scan_seconds(*cpu_, node, *tried) * tried->samples.back().ratio;
  EXPECT_NEAR(predict(*cpu_, *artifact, *tried).steps.back().seconds, expected, 1e-6 * expected);
}

// Between two runs of it other work takes its operands from the caches.
TEST_F(TryKernels, AKernelOfALargeGraphIsTriedAsItRunsThere) {
  Tensor x = real(Shape{512, 300}), big = real(Shape{1 << 20});
  Tensor sum = reduce_sum(exp(exp(big)));
  auto artifact = compile({x, big}, {sum, reduce_sum(x, {1})});
  auto tried = try_kernels(*cpu_, *artifact, calibration_);
  auto step = std::find_if(artifact->steps.begin(), artifact->steps.end(), [](const StepInfo& s) {
    return s.node && work_of(*s.node).kind == "reduce_sum last";
  });
  ASSERT_NE(step, artifact->steps.end());
  auto at = static_cast<size_t>(step - artifact->steps.begin());
  Runner runner(*cpu_, artifact);
  double measured = step_times(runner, 0.02, 5)[at];
  double predicted = predict(*cpu_, *artifact, *tried).steps[at].seconds;
  EXPECT_GT(predicted, measured / 5);
  EXPECT_LT(predicted, measured * 5);
}

TEST_F(TryKernels, WhatTakesNoTimeIsNotTried) {
  Tensor x = real(Shape{8, 8});
  auto artifact = compile({x}, {reduce_sum(x, {1})});
  EXPECT_EQ(try_kernels(*cpu_, *artifact, calibration_), calibration_);
}

}  // namespace
}  // namespace wafer::select
