#include <gtest/gtest.h>

#include <set>

#include "tests/io/helpers.h"
#include "tests/train/helpers.h"
#include "wafer/op/op.h"
#include "wafer/pass/lower.h"
#include "wafer/runtime/registry.h"
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

TEST(Precision, TrainsInBf16AsWellAsInF32) {
  for (Precision precision : {Precision::f32, Precision::bf16}) {
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

// A weight and its moments are read and written once, whatever dtype the gradient comes in.
TEST(Precision, AnUpdateIsOnePassOverMemory) {
  for (Precision precision : {Precision::f32, Precision::bf16}) {
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
