#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tests/io/helpers.h"
#include "tests/train/helpers.h"
#include "wafer/io/safetensors.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/host/host_device.h"
#include "wafer/pass/lower.h"
#include "wafer/runtime/registry.h"
#include "wafer/train/checkpoint.h"
#include "wafer/train/trainer.h"

namespace wafer {
namespace {
using testing::blobs;
using testing::Mlp;
using testing::weights;

FitOptions with_precision(Precision precision) {
  FitOptions options;
  options.epochs = 12;
  options.batch_size = 16;
  options.progress = false;
  options.precision = precision;
  return options;
}

TEST(Precision, TrainsInNarrowPrecisionsAsWellAsInF32) {
  for (Precision precision : {Precision::f32, Precision::bf16, Precision::f16}) {
    Mlp model;
    Trainer trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-2}});
    FitResult fit = trainer.fit(blobs(120), blobs(60, 1), with_precision(precision));
    EXPECT_EQ(fit.precision, precision);
    EXPECT_EQ(trainer.precision(), precision);
    EXPECT_GT(*fit.epochs.back().validation_accuracy, 0.95);
    eval::Report report = trainer.evaluate(blobs(90, 2));
    EXPECT_EQ(report.precision, name(precision));
    EXPECT_GT(*report.splits[0].accuracy, 0.95);
    for (const auto& slot : model.named_parameters()) EXPECT_EQ(slot.value->dtype(), DType::f32);
  }
}

// The state after one step of `graph` on `memory`, and what the step says of itself.
struct Stepped {
  std::vector<std::vector<float>> state;
  float loss = 0;
  bool finite = false;
};

// A step in f16 on the CPU whose loss is `factor` times a sum of w x, so that each of w's gradients
// is `factor` times the scale before it is divided by it.
struct ScaledStep {
  struct Line : nn::Module {
    Tensor w = Tensor::from_values(std::vector<float>(8, 0.5f), Shape{8, 1});
    Line() {
      set_name("line");
      parameter("w", w);
    }
  } line;
  Graph graph;
  std::shared_ptr<Device> cpu = device("cpu");

  explicit ScaledStep(double factor, int64_t accumulate = 1) {
    Objective objective{&line, [this](const Tensor& x) { return matmul(x, line.w); },
                        [factor](const Tensor& y, const Tensor&) { return mean(y) * factor; },
                        false};
    graph = train_step_graph(objective, optim::SGD{{.lr = 1}},
                             {.accumulate = accumulate, .precision = Precision::f16},
                             {DType::f32, Shape{4, 8}}, {DType::i64, Shape{4}});
  }

  // On four rows of x; the last one times `more`.
  Stepped run(float scale, float age, float x, float rate = 1, float more = 1) {
    std::vector<std::vector<float>> state = {std::vector<float>(8, 0.5f), {scale}, {age}, {3}};
    std::vector<std::shared_ptr<Storage>> inputs;
    auto take = [&](const void* from, size_t bytes) {
      inputs.push_back(cpu->allocate(bytes));
      cpu->copy_from_host(from, *inputs.back(), bytes);
    };
    for (const auto& one : state) take(one.data(), one.size() * sizeof(float));
    uint64_t key[] = {0, 1};
    float step = 1;
    std::vector<float> batch(32, x);
    for (size_t i = 24; i < 32; ++i) batch[i] *= more;
    std::vector<int64_t> targets(4);
    take(key, sizeof key), take(&step, sizeof step), take(&rate, sizeof rate);
    take(batch.data(), 32 * sizeof(float)), take(targets.data(), 4 * sizeof(int64_t));
    auto outputs = execute(*cpu, *cpu->target().compile(graph, {}), inputs);
    Stepped result;
    for (size_t i = 0; i < state.size(); ++i) {
      auto* values = static_cast<const float*>(outputs[i]->data());
      result.state.emplace_back(values, values + state[i].size());
    }
    result.loss = *static_cast<const float*>(outputs[4]->data());
    result.finite = *static_cast<const bool*>(outputs[6]->data());
    return result;
  }
};

TEST(Precision, TheLossScaleLeavesUpdatesAsTheyAre) {
  for (int64_t parts : {1, 3}) {
    // In f16 without a scale 1e-8 is 0.
    Stepped after = ScaledStep(1e-8, parts).run(65536, 7, 1, 1e6f);
    ASSERT_TRUE(after.finite);
    EXPECT_NEAR(after.loss, 4e-8, 1e-10);
    for (float w : after.state[0]) EXPECT_NEAR(w, 0.49, 1e-5);
    Stepped large = ScaledStep(1e-3, parts).run(1024, 7, 0.25);
    for (float w : large.state[0]) EXPECT_NEAR(w, 0.5 - 0.25e-3, 1e-6);
    EXPECT_EQ(large.state[1][0], 1024);
    EXPECT_EQ(large.state[2][0], 8);
    EXPECT_EQ(large.state[3][0], 4);
  }
}

TEST(Precision, GradientsThatOverflowHalveTheLossScaleAlone) {
  ScaledStep step(2);  // times 65,536 is more than f16 holds
  Stepped after = step.run(65536, 7, 1);
  EXPECT_TRUE(after.finite);
  EXPECT_EQ(after.state[0], std::vector<float>(8, 0.5f));
  EXPECT_EQ(after.state[1][0], 32768);
  EXPECT_EQ(after.state[2][0], 0);
  EXPECT_EQ(after.state[3][0], 3);
  after = step.run(1024, 7, 1);
  for (float w : after.state[0]) EXPECT_NEAR(w, 0.5 - 2, 1e-2);
  // Nothing is left to halve, or the loss itself is lost: that is a failure.
  EXPECT_FALSE(ScaledStep(1e6).run(1, 7, 1).finite);
  after = step.run(1024, 7, std::numeric_limits<float>::quiet_NaN());
  EXPECT_FALSE(after.finite);
  EXPECT_EQ(after.state[1][0], 1024);
}

// Gradients that fit are no overflow, however large their sum and the loss.
TEST(Precision, OnlyWhatOverflowsIsAnOverflow) {
  Stepped after = ScaledStep(2).run(8192, 7, 1);  // eight gradients of 16,384
  ASSERT_TRUE(after.finite);
  EXPECT_EQ(after.state[1][0], 8192);
  for (float w : after.state[0]) EXPECT_NEAR(w, 0.5 - 2, 1e-2);
  after = ScaledStep(30000).run(1, 7, 1);
  EXPECT_NEAR(after.loss, 120000, 100);
  EXPECT_TRUE(after.finite);
  EXPECT_EQ(after.state[3][0], 4);
  for (float w : after.state[0]) EXPECT_NEAR(w, -30000, 20);
}

// Gradients of each part of a batch fit, but for the last one's.
TEST(Precision, APartThatOverflowsIsAnOverflow) {
  ScaledStep step(2, 4);
  EXPECT_EQ(step.run(65536, 7, 1).state[1][0], 65536);
  Stepped after = step.run(65536, 7, 1, 1, 4);
  EXPECT_TRUE(after.finite);
  EXPECT_EQ(after.state[0], std::vector<float>(8, 0.5f));
  EXPECT_EQ(after.state[1][0], 32768);
}

TEST(Precision, TheLossScaleDoublesAfterManyUpdates) {
  ScaledStep step(1);
  Stepped after = step.run(512, 1999, 1);
  EXPECT_EQ(after.state[1][0], 1024);
  EXPECT_EQ(after.state[2][0], 0);
  EXPECT_EQ(ScaledStep(1e-6).run(16777216, 1999, 1).state[1][0], 16777216);
}

TEST(Precision, NarrowIsWhatTheDeviceMultiplies) {
  EXPECT_EQ(narrow_precision({.fast_bf16 = true, .fast_f16 = true}), Precision::bf16);
  EXPECT_EQ(narrow_precision({.fast_f16 = true}), Precision::f16);
  EXPECT_EQ(narrow_precision({}), Precision::f32);
}

// A weight and its moments are read and written once, whatever dtype the gradient comes in.
TEST(Precision, AnUpdateIsOnePassOverMemory) {
  for (Precision precision : {Precision::f32, Precision::bf16, Precision::f16}) {
    Mlp model;
    Objective objective{&model, [&](const Tensor& x) { return model.forward(x); },
                        nn::cross_entropy, true};
    Graph step = train_step_graph(objective, optim::Adam{}, {.precision = precision},
                                  {DType::f32, Shape{8, 4}}, {DType::i64, Shape{8}});
    auto cpu = device("cpu");
    Graph lowered = lower(step, cpu->target(), {.fuse_elementwise = true});
    std::set<const Node*> updates;
    for (const Node* node : topological_order(lowered)) {
      for (const Type& type : node->outputs) {
        bool of_weight = type == Type{DType::f32, Shape{16, 4}};
        if (of_weight && !node->is(op::input) && !node->is(op::matmul)) updates.insert(node);
      }
    }
    ASSERT_EQ(updates.size(), 1u) << print(lowered);
    EXPECT_EQ((*updates.begin())->outputs.size(), 3u) << print(lowered);
  }
}

TEST(Precision, PartsOfABatchAddUpInF32) {
  auto train = [](int64_t parts) {
    Mlp model;
    FitOptions options = with_precision(Precision::bf16);
    options.accumulate = parts;
    Trainer trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-2}});
    return *trainer.fit(blobs(128), {}, options).epochs.back().train_loss;
  };
  EXPECT_NEAR(train(4), train(1), 0.02);
}

TEST(Precision, AutomaticIsChosenBeforeTheFirstStepAndSaysSo) {
  Mlp model;
  Trainer trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-2}});
  FitResult fit = trainer.fit(blobs(120), {}, with_precision(Precision::automatic));
  EXPECT_NE(fit.precision, Precision::automatic);
  EXPECT_NE(fit.precision_note.find(std::string(name(fit.precision))), std::string::npos);
  // So small a model gains nothing.
  EXPECT_EQ(fit.precision, Precision::f32);
  // Nor does the choice leave a trace in the weights.
  Mlp other;
  Trainer again(other, nn::cross_entropy, optim::Adam{{.lr = 1e-2}});
  again.fit(blobs(120), {}, with_precision(fit.precision));
  EXPECT_EQ(weights(model), weights(other));
}

struct WideMlp : nn::Module {
  nn::Linear fc1{4, 1024}, fc2{1024, 512}, fc3{512, 3};
  WideMlp() {
    set_name("wide");
    add("fc1", fc1), add("fc2", fc2), add("fc3", fc3);
    initialise(0);
  }
  Tensor forward(const Tensor& x) { return fc3(relu(fc2(relu(fc1(x))))); }
};

TEST(Precision, AutomaticComparesLossesAndLeavesNoTraceInTheWeights) {
  FitOptions options = with_precision(Precision::automatic);
  options.epochs = 1;
  WideMlp model, other;
  Trainer trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-3}});
  FitResult fit = trainer.fit(blobs(64), {}, options);
  bool fast = default_device()->info().fast_bf16;
  EXPECT_EQ(fit.precision, fast ? Precision::bf16 : Precision::f32) << fit.precision_note;
  options.precision = fit.precision;
  Trainer(other, nn::cross_entropy, optim::Adam{{.lr = 1e-3}}).fit(blobs(64), {}, options);
  EXPECT_EQ(weights(model), weights(other));
}

TEST(Precision, AResumedRunKeepsItsLossScale) {
  testing::TemporaryFolder folder;
  FitOptions options = with_precision(Precision::f16);
  options.run = folder.path();
  auto fit = [&](int epochs, bool resume) {
    Mlp model;
    options.epochs = epochs;
    options.resume = resume;
    auto loss = [](const Tensor& y, const Tensor& target) {
      return nn::cross_entropy(y, target) * 1000.0;
    };
    Trainer(model, loss, optim::Adam{{.lr = 1e-2}}).fit(blobs(120), {}, options);
    return weights(model);
  };
  fit(2, false);
  io::SafetensorsFile kept(CheckpointFolder(folder.path() / "checkpoints").list().at(0));
  float scale = 0;
  std::memcpy(&scale, kept.at("optimizer.loss_scale").bytes.data(), sizeof scale);
  EXPECT_LT(scale, 65536);  // else nothing was kept that is not so from the start
  std::vector<float> resumed = fit(4, true);
  options.run.clear();
  EXPECT_EQ(resumed, fit(4, false));
}

// A CPU that multiplies f16, and not bf16.
class HalfDevice : public HostDevice {
 public:
  DeviceInfo info() const override {
    DeviceInfo info = device("cpu")->info();
    info.fast_bf16 = false;
    info.fast_f16 = true;
    return info;
  }
  const Target& target() const override { return device("cpu")->target(); }
};

// Steps that overflow at the first loss scales are none of the comparison's.
TEST(Precision, AutomaticTakesF16WhereItsUpdatesAgree) {
  for (double factor : {1.0, 10.0, 1e8}) {
    auto loss = [factor](const Tensor& y, const Tensor& target) {
      return nn::cross_entropy(y, target) * factor;
    };
    FitOptions options = with_precision(Precision::automatic);
    options.epochs = 1;
    WideMlp model, other;
    Trainer trainer(model, loss, optim::SGD{{.lr = 1e-3 / factor}}, std::make_shared<HalfDevice>());
    FitResult fit = trainer.fit(blobs(64), {}, options);
    // Times 10^8 the gradients are beyond f16 at any scale.
    EXPECT_EQ(fit.precision, factor < 1e3 ? Precision::f16 : Precision::f32) << fit.precision_note;
    EXPECT_EQ(fit.precision_note.find("overflow") != std::string::npos, factor > 1e3);
    options.precision = fit.precision;
    Trainer(other, loss, optim::SGD{{.lr = 1e-3 / factor}}, std::make_shared<HalfDevice>())
        .fit(blobs(64), {}, options);
    EXPECT_EQ(weights(model), weights(other));
  }
}

TEST(Precision, AResumedRunKeepsItsChoice) {
  testing::TemporaryFolder folder;
  FitOptions options = with_precision(Precision::bf16);
  options.run = folder.path();
  options.epochs = 2;
  Mlp model;
  Trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-2}}).fit(blobs(120), {}, options);
  options.precision = Precision::automatic;
  options.resume = true;
  options.epochs = 3;
  Mlp resumed;
  Trainer trainer(resumed, nn::cross_entropy, optim::Adam{{.lr = 1e-2}});
  EXPECT_EQ(trainer.fit(blobs(120), {}, options).precision, Precision::bf16);
  options.precision = Precision::f32;
  options.epochs = 4;
  EXPECT_THROW(trainer.fit(blobs(120), {}, options), UserError);
}

}  // namespace
}  // namespace wafer
