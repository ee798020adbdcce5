#include "wafer/select/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>

#include "tests/select/helpers.h"
#include "wafer/base/threads.h"
#include "wafer/io/file.h"
#include "wafer/op/activation.h"
#include "wafer/op/conv.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/layout.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/epilogue.h"
#include "wafer/runtime/registry.h"
#include "wafer/select/calibration_graphs.h"
#include "wafer/select/runner.h"

namespace wafer::select {
namespace {

namespace fs = std::filesystem;

using testing_select::CacheFolder;
using testing_select::real;

class CalibrationFile : public ::testing::Test {
 protected:
  CacheFolder folder_;
};

Calibration example() {
  Calibration c;
  c.device = "cpu: example";
  c.threads = 3;
  c.flops_per_second = {{"bf16", 3e11}, {"f32", 1e11}};
  c.bandwidth = {{1e4, 1e11}, {1e6, 4e10}, {1e8, 1e10}};
  c.element_seconds = {{"add f32", 1e-10}, {"exp f32", 1e-9}};
  c.run_seconds = 1e-6;
  c.step_seconds = 2e-7;
  c.iteration_seconds = 3e-7;
  c.gauge_seconds = {1e-3, 2e-3};
  c.samples = {{"matmul", {6, 6, 6, 0, 0, 1}, 1.5}, {"conv", {10, 5, 6, 3}, 2.25}};
  return c;
}

TEST(Work, SizesOfAConvolutionAreThoseSeenForward) {
  ConvOptions options{.padding = {1}};
  Tensor y = conv(real(Shape{8, 4, 16, 16}), real(Shape{32, 4, 3, 3}), {}, options);
  Work forward = work_of(y.node());
  EXPECT_EQ(forward.kind, "conv");
  EXPECT_DOUBLE_EQ(forward.size[0], 11);  // 8 images of 256 positions
  EXPECT_DOUBLE_EQ(forward.size[1], 2);
  EXPECT_DOUBLE_EQ(forward.size[2], 5);
  EXPECT_DOUBLE_EQ(forward.size[3], std::log2(9.0));
  EXPECT_DOUBLE_EQ(forward.flops, 2.0 * 8 * 256 * 32 * 4 * 9);

  const auto& attrs = y.node().attr<ConvAttrs>();
  Work by_weight =
      work_of(conv_weight_gradient(real(Shape{8, 4, 16, 16}), y, Shape{32, 4, 3, 3}, attrs).node());
  EXPECT_EQ(by_weight.kind, "conv_weight_gradient");
  EXPECT_EQ(by_weight.size, forward.size);
  EXPECT_DOUBLE_EQ(by_weight.flops, forward.flops);
}

TEST(Work, ReductionsDifferByTheirAxes) {
  Tensor x = real(Shape{8, 16, 4});
  EXPECT_EQ(work_of(reduce_sum(x, {2}).node()).kind, "reduce_sum last");
  EXPECT_EQ(work_of(reduce_sum(x, {0}).node()).kind, "reduce_sum first");
  EXPECT_EQ(work_of(reduce_sum(x, {1}).node()).kind, "reduce_sum inner");
  EXPECT_EQ(work_of(reduce_sum(x, {0, 2}).node()).kind, "reduce_sum both");
  EXPECT_EQ(work_of(reduce_sum(x).node()).kind, "reduce_sum all");
}

TEST(Work, ADtypeIsAKindOfItsOwn) {
  Tensor a = make_input({DType::bf16, Shape{4, 8}}, "a"),
         b = make_input({DType::bf16, {8, 2}}, "b");
  EXPECT_EQ(work_of(matmul(a, b).node()).kind, "matmul bf16");
  EXPECT_EQ(work_of(matmul(real({4, 8}), real({8, 2})).node()).kind, "matmul");
}

TEST(Work, ACastIsNamedByBothEnds) {
  EXPECT_EQ(element_op(cast(real({4}), DType::bf16).node()), "cast f32 bf16");
  EXPECT_EQ(element_op(cast(real({4}), DType::i64).node()), "cast f32 i64");
  EXPECT_EQ(element_op(exp(real({4})).node()), "exp f32");
}

TEST(Work, WhatIsComputedBehindAProductLeavesItAProduct) {
  Tensor x = real({4, 8}), w = real({8, 2}), bias = real({2});
  Graph graph;
  graph.inputs = {x, w, bias};
  graph.outputs = {relu(matmul(x, w) + bias)};
  Graph fused = fuse_epilogues(graph, [](const Node&) { return true; });
  const Node& node = fused.outputs[0].node();
  ASSERT_TRUE(node.is(op::fused));
  Work work = work_of(node), plain = work_of(matmul(x, w).node());
  EXPECT_EQ(work.kind, "matmul");
  EXPECT_EQ(work.size, plain.size);
  EXPECT_FALSE(work.elementwise());
  EXPECT_GE(work.flops, plain.flops);
}

// The kinds of step that take most of a bf16 train step are measured, not guessed from f32.
TEST(Work, WhatIsMeasuredInBf16CoversProductsAndElementWiseWork) {
  std::set<std::string> without, with;
  auto cpu = device("cpu");
  for (bool bf16 : {false, true}) {
    for (const Graph& graph : calibration_graphs(bf16)) {
      auto artifact = cpu->target().compile(graph, {});
      for (const StepInfo& step : artifact->steps) {
        if (step.node) (bf16 ? with : without).insert(work_of(*step.node).kind);
      }
    }
  }
  for (const char* kind : {"matmul bf16", "conv bf16", "conv_weight_gradient bf16",
                           "elementwise bf16", "max_pool bf16"}) {
    EXPECT_EQ(without.count(kind), 0u) << kind;
    EXPECT_EQ(with.count(kind), 1u) << kind;
  }
}

TEST(Work, AFusedGroupCountsEachOpInside) {
  Tensor a = real(Shape{100}), x = real(Shape{100});
  auto group = std::make_shared<Graph>();
  group->inputs = {a};
  group->outputs = {exp(a + a)};
  Work work = work_of(fuse(group, {x})[0].node());
  ASSERT_EQ(work.elements.size(), 2u);
  EXPECT_EQ(work.elements[0], (std::pair<std::string, double>{"add f32", 100}));
  EXPECT_EQ(work.elements[1], (std::pair<std::string, double>{"exp f32", 100}));
  Calibration c = example();
  EXPECT_DOUBLE_EQ(c.ideal_seconds(work, 0), c.step_seconds + 100 * (1e-10 + 1e-9));
  EXPECT_DOUBLE_EQ(c.ideal_seconds(work, 1), c.step_seconds + 1);
}

TEST(Calibration, BandwidthIsInterpolatedBetweenSizes) {
  Calibration c = example();
  EXPECT_DOUBLE_EQ(c.bandwidth_at(1), 1e11);
  EXPECT_DOUBLE_EQ(c.bandwidth_at(1e6), 4e10);
  EXPECT_NEAR(c.bandwidth_at(1e7), 2e10, 1);  // the geometric mean half-way
  EXPECT_DOUBLE_EQ(c.bandwidth_at(1e12), 1e10);
}

TEST_F(CalibrationFile, ACalibrationIsReadAsItWasWritten) {
  Calibration c = example();
  save_calibration(c, folder_ / "c.json");
  Calibration read = load_calibration(folder_ / "c.json");
  EXPECT_EQ(read.device, c.device);
  EXPECT_EQ(read.threads, c.threads);
  EXPECT_EQ(read.flops_per_second, c.flops_per_second);
  EXPECT_EQ(read.bandwidth, c.bandwidth);
  EXPECT_EQ(read.element_seconds, c.element_seconds);
  EXPECT_EQ(read.run_seconds, c.run_seconds);
  EXPECT_EQ(read.step_seconds, c.step_seconds);
  EXPECT_EQ(read.iteration_seconds, c.iteration_seconds);
  EXPECT_EQ(read.disturbed, c.disturbed);
  ASSERT_EQ(read.samples.size(), 2u);
  EXPECT_EQ(read.samples[1].kind, "conv");
  EXPECT_EQ(read.samples[1].size, c.samples[1].size);
  EXPECT_EQ(read.samples[1].ratio, 2.25);
}

TEST_F(CalibrationFile, AFileThatIsNoCalibrationIsAnErrorNamingIt) {
  fs::path path = folder_ / "c.json";
  save_calibration(example(), path);
  std::string good = io::read_text_file(path);
  auto expect_error = [&](const std::string& text) {
    std::ofstream(path) << text;
    try {
      load_calibration(path);
      FAIL() << text;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find("c.json"), std::string::npos) << error.what();
    }
  };
  expect_error("");
  expect_error("[]");
  expect_error(good.substr(0, good.size() / 2));
  std::string negative = good;
  negative.replace(negative.find("\"f32\":") + 6, 1, "-");
  expect_error(negative);
  std::string other = good;
  other.replace(other.find("\"format\":") + 9, 1, "0");
  expect_error(other);
  std::string gauge = good;
  gauge.replace(gauge.find("\"gauge_seconds\":[") + 17, 0, "1,");
  expect_error(gauge);
}

// What was measured is told from what was read by a rate that no machine has.
TEST_F(CalibrationFile, MeasuringIsDoneOnceAndADamagedCacheIsMeasuredAgain) {
  auto cpu = device("cpu");
  Calibration first = *calibrate(*cpu, 1);
  ASSERT_EQ(folder_.files().size(), 1u);
  first.run_seconds = 1234;
  first.disturbed = false;
  bool read = false;
  for (int tries = 0; tries < 5 && !read; ++tries) {  // the machine may change its speed
    keep_calibration(first);
    read = calibrate(*cpu, 1)->run_seconds == 1234;
  }
  EXPECT_TRUE(read);
  std::ofstream(folder_.files()[0]) << "{}";
  ::testing::internal::CaptureStderr();
  auto third = calibrate(*cpu, 1);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("measuring again"), std::string::npos);
  EXPECT_GT(third->flops_per_second_in(DType::f32), 0);
  EXPECT_EQ(third->flops_per_second.contains("bf16"), cpu->info().fast_bf16);
  EXPECT_EQ(load_calibration(folder_.files()[0]).flops_per_second, third->flops_per_second);
}

TEST_F(CalibrationFile, OneOfAnotherSpeedIsMeasuredAgain) {
  auto cpu = device("cpu");
  Calibration slow = *calibrate(*cpu, 1);
  slow.gauge_seconds = {1000, 1000};
  slow.disturbed = false;
  keep_calibration(slow);
  EXPECT_LT(calibrate(*cpu, 1)->gauge_seconds.at(0), 1);
}

TEST(Runner, TimesAreSortedAndPercentilesAmongThem) {
  Tensor x = real(Shape{1000});
  Graph graph;
  graph.inputs = {x};
  graph.outputs = {exp(x)};
  auto reference = device("reference");
  Runner runner(*reference, reference->target().compile(graph, {}));
  auto times = measure(runner, 0, 9);
  ASSERT_EQ(times.size(), 9u);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  EXPECT_GT(times.front(), 0);
  EXPECT_EQ(percentile(times, 0.5), times[4]);
  EXPECT_EQ(percentile(times, 1), times[8]);
}

TEST(Runner, StepsAreTimedWithOtherWorkBetweenTheirRuns) {
  Tensor x = real(Shape{1000});
  Graph graph;
  graph.inputs = {x};
  graph.outputs = {reduce_sum(exp(x))};
  auto reference = device("reference");
  Runner runner(*reference, reference->target().compile(graph, {}));
  int others = 0;
  auto times = step_times(runner, 0, 7, [&] { ++others; });
  EXPECT_EQ(others, 7);
  ASSERT_EQ(times.size(), runner.artifact().steps.size());
  for (double seconds : times) EXPECT_GT(seconds, 0);
}

TEST(Runner, TheNumberOfThreadsIsRestored) {
  int before = thread_count();
  {
    ThreadCountScope scope(before + 3);
    EXPECT_EQ(thread_count(), before + 3);
  }
  EXPECT_EQ(thread_count(), before);
}

}  // namespace
}  // namespace wafer::select
