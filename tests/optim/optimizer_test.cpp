// Optimisers, clipping and schedules against PyTorch's numbers (make_expected.py).
#include "wafer/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/nn/helpers.h"
#include "tests/nn/npz.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/reduce.h"
#include "wafer/optim/clip.h"
#include "wafer/optim/schedule.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/grad.h"

using namespace wafer;
using wafer::testing_nn::contains;
using wafer::testing_nn::message;

namespace {
using OptimizerPointer = std::shared_ptr<const optim::Optimizer>;

const std::map<std::string, OptimizerPointer> cases{
    {"sgd", std::make_shared<optim::SGD>(optim::SgdOptions{.lr = 0.05})},
    {"sgd_momentum", std::make_shared<optim::SGD>(
                         optim::SgdOptions{.lr = 0.05, .momentum = 0.9, .weight_decay = 0.1})},
    {"sgd_dampening", std::make_shared<optim::SGD>(
                          optim::SgdOptions{.lr = 0.05, .momentum = 0.9, .dampening = 0.3})},
    {"sgd_nesterov", std::make_shared<optim::SGD>(optim::SgdOptions{
                         .lr = 0.05, .momentum = 0.8, .weight_decay = 0.01, .nesterov = true})},
    {"adam", std::make_shared<optim::Adam>(optim::AdamOptions{.lr = 0.1})},
    {"adam_decay", std::make_shared<optim::Adam>(optim::AdamOptions{
                       .lr = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.2})},
    {"adam_amsgrad", std::make_shared<optim::Adam>(optim::AdamOptions{
                         .lr = 0.1, .beta1 = 0.5, .beta2 = 0.6, .amsgrad = true})},
    {"adamw", std::make_shared<optim::AdamW>(optim::AdamWOptions{.lr = 0.1, .weight_decay = 0.3})},
    {"rmsprop", std::make_shared<optim::RMSprop>(optim::RmspropOptions{.lr = 0.05})},
    {"rmsprop_centered",
     std::make_shared<optim::RMSprop>(optim::RmspropOptions{
         .lr = 0.05, .alpha = 0.9, .weight_decay = 0.1, .momentum = 0.7, .centered = true})},
    {"adagrad", std::make_shared<optim::Adagrad>(optim::AdagradOptions{.lr = 0.3})},
    {"adagrad_decay",
     std::make_shared<optim::Adagrad>(optim::AdagradOptions{
         .lr = 0.3, .lr_decay = 0.2, .weight_decay = 0.1, .initial_accumulator_value = 0.4})},
};

const std::map<std::string, Tensor>& expected() {
  static const auto all = testing_nn::load_npz("optim/data/optimizers.npz");
  return all;
}

void expect_near(const std::vector<float>& got, const std::vector<float>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << i;
}

class OptimizerTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { set_default_device(device("reference")); }
};
}  // namespace

TEST_P(OptimizerTest, FollowsPyTorchForFiveSteps) {
  const optim::Optimizer& optimizer = *cases.at(GetParam());
  Tensor p = expected().at("start");
  std::vector<Tensor> state;
  for (const auto& spec : optimizer.state_for(p.type())) {
    state.push_back(full(spec.type.shape, spec.initial, spec.type.dtype));
  }
  std::vector<float> want = expected().at(GetParam()).data<float>();
  for (int step = 1; step <= 5; ++step) {
    Tensor loss = sum(square(expected().at("a") * p - expected().at("b")));
    Tensor gradient = grad(loss, {p}).at(0);
    auto update = optimizer.update(p, gradient, state, Tensor(optimizer.learning_rate()),
                                   Tensor(static_cast<double>(step)));
    ASSERT_EQ(update.state.size(), state.size());
    EXPECT_EQ(update.parameter.type(), p.type());
    for (size_t i = 0; i < state.size(); ++i) EXPECT_EQ(update.state[i].type(), state[i].type());
    p = update.parameter;
    state = update.state;
    auto at = want.begin() + (step - 1) * 6;
    SCOPED_TRACE(step);
    expect_near(p.data<float>(), std::vector<float>(at, at + 6), 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerTest, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const auto& [name, optimizer] : cases) names.push_back(name);
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

TEST(Clip, ByGlobalNorm) {
  set_default_device(device("reference"));
  auto clipped = optim::clip_by_global_norm(
      {expected().at("clip/before0"), expected().at("clip/before1")}, 1.5);
  EXPECT_NEAR(clipped.norm.item(), expected().at("clip/norm").item(), 1e-6);
  for (int i : {0, 1}) {
    expect_near(clipped.gradients[static_cast<size_t>(i)].data<float>(),
                expected().at(str("clip/after", i)).data<float>(), 1e-6);
  }
}

TEST(Clip, SmallGradientsStay) {
  Tensor g = Tensor::from_values<float>({0.3f, -0.4f}, Shape{2});
  EXPECT_EQ(optim::clip_by_global_norm({g}, 10).gradients[0].data<float>(), g.data<float>());
}

TEST(Clip, ByValueAndAverages) {
  Tensor g = Tensor::from_values<float>({3, -0.5f, -7}, Shape{3});
  EXPECT_EQ(optim::clip_by_value({g}, 1)[0].data<float>(), (std::vector<float>{1, -0.5f, -1}));
  Tensor average = Tensor::from_values<float>({1, 1, 1}, Shape{3});
  expect_near(optim::exponential_moving_average(average, g, 0.75).data<float>(), {1.5f, 0.625f, -1},
              1e-6);
}

TEST(Create, ReadsOptionsAndSuggests) {
  auto adam = optim::create("adam", {{"lr", "0.25"}, {"amsgrad", "true"}});
  EXPECT_EQ(adam->learning_rate(), 0.25);
  EXPECT_EQ(adam->state_for({DType::f32, Shape{2}}).size(), 3u);
  EXPECT_EQ(adam->hyper_parameters().front().first, "lr");
  EXPECT_TRUE(contains(message([] { optim::create("adma"); }), "did you mean 'adam'?"));
  EXPECT_TRUE(contains(message([] {
                         optim::create("sgd", {{"momentun", "0.9"}});
                       }),
                       "did you mean 'momentum'?"));
  EXPECT_TRUE(contains(message([] {
                         optim::create("sgd", {{"lr", "fast"}});
                       }),
                       "lr = 'fast'; expected a number"));
  EXPECT_TRUE(contains(message([] { optim::Adam{{.lr = 1e-3, .beta2 = 1}}; }),
                       "beta2 = 1; expected a number in [0, 1)"));
}

namespace {
using SchedulePointer = std::shared_ptr<optim::Schedule>;

const std::map<std::string, Tensor>& rates() {
  static const auto all = testing_nn::load_npz("optim/data/schedules.npz");
  return all;
}

// Compares with one value of PyTorch's for each step or epoch.
void expect_rates(const std::string& name, const SchedulePointer& schedule) {
  std::vector<double> want = rates().at(name).data<double>();
  for (size_t i = 0; i < want.size(); ++i) {
    optim::SchedulePoint point{static_cast<int64_t>(i), 1, static_cast<int64_t>(want.size())};
    ASSERT_NEAR(schedule->learning_rate(0.5, point), want[i], 1e-9) << name << " at " << i;
  }
}
}  // namespace

TEST(Schedules, FollowPyTorch) {
  expect_rates("step", optim::step_schedule(7, 0.3));
  expect_rates("multi_step", optim::multi_step_schedule({4, 5, 20}, 0.5));
  expect_rates("exponential", optim::exponential_schedule(0.9));
  expect_rates("cosine", optim::cosine_schedule(0.01));
  expect_rates("one_cycle", optim::one_cycle_schedule());
}

TEST(Schedules, EpochsCountSteps) {
  auto schedule = optim::step_schedule(2, 0.1);
  EXPECT_DOUBLE_EQ(schedule->learning_rate(1, {19, 10, 100}), 1);
  EXPECT_DOUBLE_EQ(schedule->learning_rate(1, {20, 10, 100}), 0.1);
}

TEST(Schedules, PlateauFollowsPyTorchAcrossARestore) {
  auto schedule = optim::plateau_schedule(0.3, 2, 0.02);
  auto losses = rates().at("losses").data<double>(), want = rates().at("plateau").data<double>();
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(schedule->learning_rate(0.5, {}), want[i], 1e-12) << i;
    schedule->epoch_end(losses[i]);
    auto resumed = optim::plateau_schedule(0.3, 2, 0.02);
    resumed->restore(schedule->state());
    schedule = resumed;
  }
}

TEST(Schedules, WarmUpRisesToTheBase) {
  auto schedule = optim::warm_up_schedule(4);
  for (int64_t step : {0, 1, 2, 3, 4, 9}) {
    double want = std::min(1.0, static_cast<double>(step + 1) / 4);
    EXPECT_DOUBLE_EQ(schedule->learning_rate(1, {step, 1, 10}), want);
  }
}
