#include "wafer/select/select.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "tests/select/helpers.h"
#include "wafer/base/threads.h"
#include "wafer/data/load.h"
#include "wafer/nn/nn.h"
#include "wafer/op/activation.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/registry.h"
#include "wafer/select/runner.h"

namespace wafer::select {
namespace {

using testing_select::CacheFolder;
using testing_select::real;

// Ideal rates: every step takes what the roofline says.
Calibration ideal(int threads = 1) {
  Calibration c;
  c.device = "ideal";
  c.threads = threads;
  c.flops_per_second = {{"f32", 1e9}};
  c.bandwidth = {{1e3, 1e15}};
  c.element_seconds = {{"add f32", 1e-9}};
  c.samples = {{"matmul", {6, 6, 6, 0, 0, 0}, 1.0}, {"elementwise", {10, 0, 4}, 1.0}};
  return c;
}

std::shared_ptr<const Artifact> compile(Device& device, std::vector<Tensor> inputs,
                                        std::vector<Tensor> outputs) {
  Graph graph;
  graph.inputs = std::move(inputs);
  graph.outputs = std::move(outputs);
  return device.target().compile(graph, {});
}

TEST(Predict, AProductTakesItsFlopsOverTheRate) {
  auto reference = device("reference");
  Tensor a = real(Shape{64, 64}), b = real(Shape{64, 64});
  auto artifact = compile(*reference, {a, b}, {matmul(a, b)});
  Calibration c = ideal();
  Prediction p = predict(*reference, *artifact, c);
  EXPECT_NEAR(p.seconds, 2.0 * 64 * 64 * 64 / 1e9, 1e-9);
  EXPECT_EQ(p.flops, 2.0 * 64 * 64 * 64);
  EXPECT_EQ(p.memory_bytes, 3u * 64 * 64 * 4);
  EXPECT_NEAR(p.relative_error, 0.05, 1e-6);

  c.samples[0].ratio = 2;  // products were measured to take twice the ideal time
  EXPECT_NEAR(predict(*reference, *artifact, c).seconds, 2 * p.seconds, 1e-9);
}

TEST(Predict, NearerSamplesWeighMore) {
  auto reference = device("reference");
  Tensor a = real(Shape{64, 64}), b = real(Shape{64, 64});
  auto artifact = compile(*reference, {a, b}, {matmul(a, b)});
  Calibration c = ideal();
  double base = predict(*reference, *artifact, c).seconds;
  c.samples.push_back({"matmul", {12, 12, 12, 0, 0, 0}, 10.0});
  Prediction p = predict(*reference, *artifact, c);
  EXPECT_LT(p.seconds, 1.1 * base);
  EXPECT_GT(p.seconds, base);
  EXPECT_GT(p.relative_error, 0.05);
}

TEST(Predict, AScanTakesItsBodyTimesItsLength) {
  auto reference = device("reference");
  Calibration c = ideal();
  c.iteration_seconds = 1e-3;
  auto seconds = [&](int64_t length) {
    Tensor h = real(Shape{32, 32}), w = real(Shape{32, 32});
    auto result = scan(
        [&](const std::vector<Tensor>& carries, const std::vector<Tensor>&) -> ScanStep {
          return {{matmul(carries[0], w)}, {}};
        },
        {h}, {}, {.length = length, .save_carries = false});
    return predict(*reference, *compile(*reference, {h, w}, {result.carries[0]}), c).seconds;
  };
  double one_turn = 1e-3 + 2.0 * 32 * 32 * 32 / 1e9;
  EXPECT_NEAR(seconds(10), 10 * one_turn, 1e-6);
  EXPECT_NEAR(seconds(1000), 1000 * one_turn, 1e-6);
}

// ---- choosing, on the cpu device ----

class Select : public ::testing::Test {
 protected:
  // One cache for all these tests: measuring takes seconds.
  static void SetUpTestSuite() { cache() = std::make_unique<CacheFolder>(); }
  static void TearDownTestSuite() { cache().reset(); }
  static std::unique_ptr<CacheFolder>& cache() {
    static std::unique_ptr<CacheFolder> folder;
    return folder;
  }
  void SetUp() override { threads_ = thread_count(); }
  void TearDown() override { set_thread_count(threads_); }
  int threads_ = 1;
};

struct Small : nn::Module {
  nn::Linear fc1{3 * 32 * 32, 64}, fc2{64, 10};
  Small() {
    add("fc1", fc1);
    add("fc2", fc2);
  }
  Tensor forward(const Tensor& x) { return fc2(relu(fc1(flatten(x, 1)))); }
};

TEST_F(Select, ChoosesADeviceWithThreadsAndSaysWhyInThreeLines) {
  auto data = data::load("shapes", {}, {.train_size = 200, .test_size = 100});
  Small model;
  ::testing::internal::CaptureStdout();
  Choice choice = best(model, data.train, {.objective = Throughput});
  std::string text = ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(text, choice.text());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_EQ(choice.device->info().name, "cpu");
  EXPECT_GE(choice.threads, 1);
  EXPECT_LE(choice.threads, available_cpus());
  EXPECT_EQ(thread_count(), choice.threads);
  bool bf16 = choice.device->info().fast_bf16;
  EXPECT_TRUE(choice.precision == Precision::f32 || (bf16 && choice.precision == Precision::bf16));
  EXPECT_GT(choice.prediction.seconds, 0);
  EXPECT_GT(choice.prediction.memory_bytes,
            3u * 4 * 64 * 3 * 32 * 32);  // weights and Adam's moments

  auto rows = choice.table();
  EXPECT_EQ(std::count_if(rows.begin(), rows.end(), [](const auto& row) { return row.chosen; }), 1);
  EXPECT_TRUE(rows[0].chosen);
  for (const auto& row : rows) {
    EXPECT_NE(row.device, "reference");
    EXPECT_NE(row.device, "null");
    EXPECT_FALSE(row.remark.empty());
    if (row.step_seconds) {
      EXPECT_GE(*row.step_seconds, 0.98 * *rows[0].step_seconds);
    }
    EXPECT_TRUE(row.precision != "bf16" || bf16);
  }
}

TEST_F(Select, LatencyIsOfOneExample) {
  auto data = data::load("shapes", {}, {.train_size = 200, .test_size = 100});
  Small model;
  Choice many = best(model, data.train, {.print = false});
  Choice one = best(model, data.train, {.objective = Latency, .print = false});
  EXPECT_EQ(one.batch_size, 1);
  EXPECT_LT(one.prediction.seconds, many.prediction.seconds);
  EXPECT_LT(one.prediction.memory_bytes, many.prediction.memory_bytes);
}

// How near predictions are is measured by bench/predictions.py: tests run beside other work.
TEST_F(Select, VerifyingMeasuresEachCandidate) {
  nn::Sequential net;
  net.append<nn::Conv2d>(nn::ConvLayerOptions{.in = 3, .out = 24, .kernel = 3, .padding = 1})
      .append<nn::ReLU>()
      .append<nn::MaxPool2d>(nn::PoolLayerOptions{.kernel = 2})
      .append<nn::Flatten>()
      .append<nn::Linear>(24 * 16 * 16, 100)
      .append<nn::ReLU>()
      .append<nn::Linear>(100, 10);
  auto data = data::load("shapes", {}, {.train_size = 200, .test_size = 100});
  Choice choice = best(net, data.train, {.batch_size = 48, .verify = true, .print = false});
  int measured = 0;
  for (const auto& row : choice.table()) {
    if (!row.measured_step_seconds) continue;
    ++measured;
    EXPECT_GT(*row.step_seconds, 0) << row.threads;
    EXPECT_GT(*row.measured_step_seconds, 0) << row.threads;
  }
  int precisions = choice.device->info().fast_bf16 ? 2 : 1;
  EXPECT_TRUE(available_cpus() > 4 || measured == precisions * available_cpus()) << measured;
  EXPECT_GE(measured, precisions);
}

TEST_F(Select, OnlyTheWantedPrecisionIsConsidered) {
  auto data = data::load("shapes", {}, {.train_size = 200, .test_size = 100});
  Small model;
  Choice choice =
      best(model, data.train, {.threads = 1, .precision = Precision::f32, .print = false});
  EXPECT_EQ(choice.precision, Precision::f32);
  for (const auto& row : choice.table()) EXPECT_NE(row.precision, "bf16");
}

TEST_F(Select, AnUnknownObjectiveOrDeviceIsTheUsersError) {
  EXPECT_EQ(goal_by_name("latency"), Latency);
  try {
    goal_by_name("latncy");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'latency'"), std::string::npos);
  }
  auto data = data::load("shapes", {}, {.train_size = 200, .test_size = 100});
  Small model;
  EXPECT_THROW(best(model, data.train, {.device = "cuda:7", .print = false}), UserError);
  EXPECT_THROW(best(model, data.train, {.batch_size = 0, .print = false}), UserError);
}

}  // namespace
}  // namespace wafer::select
