#include "wafer/train/trainer.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/io/helpers.h"
#include "tests/nn/cnn.h"
#include "tests/text.h"
#include "tests/train/helpers.h"
#include "wafer/base/threads.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/pool.h"
#include "wafer/op/shape_ops.h"
#include "wafer/train/checkpoint.h"

namespace wafer {
namespace {
using testing::blobs;
using testing::Mlp;
using testing::weights;
using tests::contains;
using tests::message_of;

FitOptions quiet(int64_t epochs = 5) {
  FitOptions options;
  options.epochs = epochs;
  options.batch_size = 16;
  options.progress = false;
  return options;
}

TEST(Trainer, LearnsAndEvaluates) {
  Mlp model;
  Trainer trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-2}});
  FitResult fit = trainer.fit(blobs(120), blobs(60, 1), quiet(12));
  ASSERT_EQ(fit.epochs.size(), 12u);
  EXPECT_EQ(fit.steps, 12 * 8);  // 120 = 7 * 16 + 8: the last partial batch too
  EXPECT_LT(*fit.epochs.back().train_loss, 0.5 * *fit.epochs.front().train_loss);
  EXPECT_GT(*fit.epochs.back().validation_accuracy, 0.95);
  eval::Report report = trainer.evaluate(blobs(90, 2));
  ASSERT_EQ(report.splits.size(), 1u);
  EXPECT_EQ(report.splits[0].examples, 90);
  EXPECT_GT(*report.splits[0].accuracy, 0.95);
  EXPECT_LT(*report.splits[0].loss, 0.5);
}

TEST(Trainer, ProfilesAgainstTheMeasuredRoofline) {
  for (Precision precision : {Precision::f32, Precision::bf16}) {
    Mlp model;
    Trainer trainer(model, nn::cross_entropy, optim::Adam{});
    FitOptions options = quiet(1);
    options.precision = precision;
    trainer.fit(blobs(32), {}, options);
    eval::Profile profile = trainer.profile(blobs(32), 16, 3);
    EXPECT_GT(profile.peak_gflops.value_or(0), 0);
    EXPECT_GT(profile.peak_gbytes.value_or(0), 0);
    bool any_bf16 = false;
    for (const eval::ProfileNode& node : profile.nodes) {
      EXPECT_EQ(node.calls, 3) << node.name;
      any_bf16 = any_bf16 || node.bf16;
    }
    EXPECT_EQ(any_bf16, precision == Precision::bf16);
    for (const eval::ProfileRow& row : eval::by_layer(profile)) {
      if (row.flops == 0) continue;
      EXPECT_TRUE(row.roofline.has_value()) << row.name;
    }
  }
}

TEST(Trainer, SameSeedSameBits) {
  auto train = [](uint64_t seed) {
    Mlp model(seed);
    FitOptions options = quiet();
    options.seed = seed;
    Trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-2}}).fit(blobs(100), {}, options);
    return weights(model);
  };
  auto first = train(3);
  EXPECT_EQ(first, train(3));
  EXPECT_NE(first, train(4));
}

TEST(Trainer, StopsEarlyWithoutGain) {
  Mlp model;
  Trainer trainer(model, nn::cross_entropy, optim::SGD{{.lr = 0}});
  FitOptions options = quiet(20);
  options.patience = 2;
  FitResult fit = trainer.fit(blobs(48), blobs(30, 1), options);
  EXPECT_EQ(fit.epochs.size(), 3u);  // the first is a gain, then two without one
  EXPECT_EQ(fit.stopped_by, "patience");
}

TEST(Trainer, StopsWhenAsked) {
  Mlp model;
  std::atomic<bool> stop = true;
  FitOptions options = quiet();
  options.stop = &stop;
  FitResult fit =
      Trainer(model, nn::cross_entropy, optim::SGD{{.lr = 0.1}}).fit(blobs(48), {}, options);
  EXPECT_TRUE(fit.interrupted);
  EXPECT_EQ(fit.steps, 1);
}

// The average of weights that stand still at w and begin at w is w; of moving ones it lags behind.
TEST(Trainer, MovingAverageOfWeights) {
  auto train = [](double decay, double lr) {
    Mlp model;
    FitOptions options = quiet(1);
    options.ema_decay = decay;
    Trainer(model, nn::cross_entropy, optim::SGD{{.lr = lr}})
        .fit(blobs(16), {}, options);  // one step
    return weights(model);
  };
  auto first = weights(Mlp()), moved = train(0, 0.5), average = train(0.9, 0.5);
  EXPECT_EQ(train(0.9, 0), first);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_NEAR(average[i], 0.9f * first[i] + 0.1f * moved[i], 1e-6) << i;
  }
}

TEST(Trainer, ClipsGradients) {
  auto step = [](std::optional<double> norm, std::optional<double> value) {
    Mlp model;
    FitOptions options = quiet(1);
    options.clip_norm = norm;
    options.clip_value = value;
    auto before = weights(model);
    Trainer(model, nn::cross_entropy, optim::SGD{{.lr = 1}}).fit(blobs(16), {}, options);
    auto after = weights(model);
    for (size_t i = 0; i < after.size(); ++i) after[i] -= before[i];
    return after;
  };
  auto norm_of = [](const std::vector<float>& values) {
    double sum = 0;
    for (float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(sum);
  };
  auto largest = [](const std::vector<float>& values) {
    float most = 0;
    for (float value : values) most = std::max(most, std::fabs(value));
    return most;
  };
  auto free = step({}, {});
  ASSERT_GT(norm_of(free), 0.05);
  EXPECT_NEAR(norm_of(step(0.05, {})), 0.05, 1e-4);
  ASSERT_GT(largest(free), 0.01f);
  EXPECT_NEAR(largest(step({}, 0.01)), 0.01f, 1e-6f);
  EXPECT_EQ(step(1e6, {}), free);
}

TEST(Trainer, AccumulatedPartsEqualTheBatch) {
  auto train = [](int64_t parts, int64_t examples) {
    Mlp model;
    FitOptions options = quiet(3);
    options.accumulate = parts;
    FitResult fit = Trainer(model, nn::cross_entropy, optim::SGD{{.lr = 0.1, .momentum = 0.9}})
                        .fit(blobs(examples), {}, options);
    auto values = weights(model);
    values.push_back(static_cast<float>(*fit.epochs.back().train_loss));
    values.push_back(static_cast<float>(*fit.epochs.back().train_accuracy));
    return values;
  };
  // 48: whole batches; 43: a last batch of 11, which neither 2 nor 5 parts divide.
  for (int64_t examples : {48, 43}) {
    auto whole = train(1, examples);
    for (int64_t parts : {2, 5, 16}) {
      auto split = train(parts, examples);
      ASSERT_EQ(split.size(), whole.size());
      for (size_t i = 0; i < whole.size(); ++i) {
        EXPECT_NEAR(split[i], whole[i], 2e-5)
            << parts << " parts of " << examples << ", value " << i;
      }
    }
  }
}

// Buffers pass from part to part, and each part's draws are its own.
struct Noisy : nn::Module {
  nn::Linear fc{4, 3};
  nn::BatchNorm1d norm{4};
  Noisy() {
    set_name("noisy");
    add("norm", norm);
    add("fc", fc);
    initialise(0);
  }
  Tensor forward(const Tensor& x) { return fc(norm(x)); }
};

TEST(Trainer, AccumulationCarriesBuffers) {
  auto train = [](int64_t batch, int64_t parts) {
    Noisy model;
    FitOptions options = quiet(1);
    options.batch_size = batch;
    options.accumulate = parts;
    Trainer(model, nn::cross_entropy, optim::SGD{{.lr = 0}}).fit(blobs(32), {}, options);
    return model.state_dict();
  };
  // With a learning rate of 0, two parts of 16 see what two batches of 16 see.
  auto parts = train(32, 2), batches = train(16, 1);
  for (const char* name : {"norm.running_mean", "norm.running_var"}) {
    auto a = parts.at(name).data<float>(), b = batches.at(name).data<float>();
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5) << name;
  }
}

TEST(Trainer, ScheduleSetsTheRate) {
  Mlp model;
  FitOptions options = quiet(4);
  options.schedule = optim::step_schedule(1, 0.5);
  FitResult fit =
      Trainer(model, nn::cross_entropy, optim::SGD{{.lr = 0.8}}).fit(blobs(32), {}, options);
  ASSERT_EQ(fit.epochs.size(), 4u);
  EXPECT_LT(*fit.epochs[3].learning_rate, *fit.epochs[0].learning_rate);
  // The rate that the steps get, not only the one that is shown: at rate 0 nothing moves.
  Mlp still;
  options.schedule = optim::exponential_schedule(0);
  Trainer(still, nn::cross_entropy, optim::SGD{{.lr = 0.8}}).fit(blobs(32), {}, options);
  Mlp one_epoch;
  options.epochs = 1;
  Trainer(one_epoch, nn::cross_entropy, optim::SGD{{.lr = 0.8}}).fit(blobs(32), {}, options);
  EXPECT_EQ(weights(still), weights(one_epoch));
}

// Its fc1 expects another size of image.
struct Slip : testing_nn::Cnn {
  Slip() : Cnn(64 * 7 * 7) {}
};

// A set that must not be read.
class Untouchable : public data::Source {
 public:
  Untouchable() {
    about_.name = "untouchable";
    about_.shape = {3, 32, 32};
    for (int c = 0; c < 10; ++c) about_.classes.push_back(std::to_string(c));
  }
  const data::Description& description() const override { return about_; }
  int64_t size() const override { return 50000; }
  const std::byte* input(int64_t, int64_t, std::vector<std::byte>&) const override {
    throw InternalError("the data were read");
  }
  int64_t label(int64_t) const override { throw InternalError("a label was read"); }

 private:
  data::Description about_;
};

TEST(Trainer, TheClassicSlipIsFoundBeforeDataIsRead) {
  Slip model;
  Trainer trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-3}});
  data::Dataset set(std::make_shared<Untouchable>());
  auto started = std::chrono::steady_clock::now();
  std::string error = message_of([&] { trainer.fit(set, {}, quiet()); });
  double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  for (const char* part : {"slip.fc1", "4096", "3136", "64x8x8", "Linear{4096, 512}"}) {
    EXPECT_TRUE(contains(error, part)) << part << " in: " << error;
  }
  EXPECT_LT(seconds, 1.0);
}

// Blobs whose example `bad` holds a NaN.
class WithNan : public data::Source {
 public:
  explicit WithNan(int64_t bad) : good_(blobs(64)), bad_(bad) {}
  const data::Description& description() const override { return good_.description(); }
  int64_t size() const override { return good_.size(); }
  const std::byte* input(int64_t index, int64_t shift,
                         std::vector<std::byte>& scratch) const override {
    const std::byte* data = good_.stored_input(index, shift, scratch);
    std::vector<std::byte> copy(data, data + 4 * sizeof(float));
    scratch = copy;
    float nan = NAN;
    if (index == bad_) std::memcpy(scratch.data() + 8, &nan, sizeof nan);
    return scratch.data();
  }
  int64_t label(int64_t index) const override { return good_.label(index); }

 private:
  data::Dataset good_;
  int64_t bad_;
};

TEST(NotFinite, NamesTheExample) {
  Mlp model;
  std::string error = message_of([&] {
    Trainer(model, nn::cross_entropy, optim::SGD{{.lr = 0.1}})
        .fit(data::Dataset(std::make_shared<WithNan>(37)), {}, quiet());
  });
  EXPECT_TRUE(contains(error, "example 37 of the training set")) << error;
  EXPECT_TRUE(contains(error, "epoch 1")) << error;
  for (float weight : weights(model)) EXPECT_TRUE(std::isfinite(weight));
}

TEST(NotFinite, NamesTheStepAndLayerAndKeepsTheWeights) {
  for (int64_t accumulate : {1, 2}) {
    Mlp model, one_step;
    FitOptions options = quiet(1);
    options.accumulate = accumulate;
    optim::SGD sgd{{.lr = 1e25}};
    std::string error =
        message_of([&] { Trainer(model, nn::cross_entropy, sgd).fit(blobs(64), {}, options); });
    EXPECT_TRUE(contains(error, "at step 2")) << error;
    EXPECT_TRUE(contains(error, "mlp.fc2")) << error;
    EXPECT_TRUE(contains(error, "learning rate")) << error;
    std::atomic<bool> stop = true;
    options.stop = &stop;
    Trainer(one_step, nn::cross_entropy, sgd).fit(blobs(64), {}, options);
    EXPECT_EQ(weights(model), weights(one_step)) << "the weights of the step before";
  }
}

// Adds sqrt(0 x): nothing to the value, and an infinity times zero to the gradient.
struct Root : nn::UnaryModule {
  Tensor forward(const Tensor& x) override { return x + sqrt(x * 0.0); }
};
struct Steep : nn::Module {
  nn::Linear fc1{4, 16}, fc2{16, 3};
  Root root;
  Steep() {
    set_name("steep");
    add("fc1", fc1);
    add("root", root);
    add("fc2", fc2);
    initialise(0);
  }
  Tensor forward(const Tensor& x) { return fc2(root(fc1(x))); }
};

TEST(NotFinite, AGradientIsFoundInItsOwnStep) {
  for (int64_t accumulate : {1, 2}) {
    Steep model;
    auto before = weights(model);
    FitOptions options = quiet(1);
    options.accumulate = accumulate;
    options.clip_value = 1.0;  // what clipping hides is found too
    optim::Adam adam{{.lr = 1e-3}};
    std::string error =
        message_of([&] { Trainer(model, nn::cross_entropy, adam).fit(blobs(64), {}, options); });
    EXPECT_TRUE(contains(error, "a gradient is not finite at step 1 (epoch 1)")) << error;
    EXPECT_TRUE(contains(error, "steep.root")) << error;
    EXPECT_EQ(weights(model), before);
  }
}

TEST(Options, WorkersSuitDeviceAndBatches) {
  int cpus = available_cpus();
  ThreadCountScope all(cpus);
  auto device = default_device();
  data::Dataset train = blobs(64);
  EXPECT_EQ(loader_workers({.batch_size = 64}, train, *device), cpus > 1 ? 0 : 1);
  EXPECT_EQ(loader_workers({.batch_size = 64, .workers = 3}, train, *device), 3);
  EXPECT_EQ(loader_workers({.batch_size = 1 << 20}, train, *device), 1);
  FitOptions augmented{.batch_size = 64, .augmentation = data::Augmentation{}};
  EXPECT_EQ(loader_workers(augmented, train, *device), cpus > 1 ? 0 : 1);
  augmented.augmentation->horizontal_flip = true;
  EXPECT_EQ(loader_workers(augmented, train, *device), 1);
  augmented.augmentation = data::Augmentation{.mixup = 0.2f};
  EXPECT_EQ(loader_workers(augmented, train, *device), 1);
  ThreadCountScope one(1);
  EXPECT_EQ(loader_workers({.batch_size = 64}, train, *device), 1);
}

TEST(Options, OutOfRange) {
  auto error = [](const std::function<void(FitOptions&)>& change) {
    Mlp model;
    FitOptions options = quiet();
    change(options);
    return message_of([&] {
      Trainer(model, nn::cross_entropy, optim::SGD{{.lr = 0.1}}).fit(blobs(30), {}, options);
    });
  };
  std::string large = error([](FitOptions& o) { o.batch_size = 31; });
  EXPECT_TRUE(contains(large, "larger than the training set") && contains(large, "at most 30"))
      << large;
  EXPECT_TRUE(contains(error([](FitOptions& o) { o.epochs = 0; }), "[epochs]"));
  EXPECT_TRUE(contains(error([](FitOptions& o) { o.batch_size = 0; }), "[batch size]"));
  EXPECT_TRUE(contains(error([](FitOptions& o) { o.accumulate = 17; }), "[accumulate]"));
  EXPECT_TRUE(contains(error([](FitOptions& o) { o.clip_norm = -1; }), "[clip norm]"));
  EXPECT_TRUE(contains(error([](FitOptions& o) { o.ema_decay = 1; }), "[ema]"));
  EXPECT_TRUE(contains(error([](FitOptions& o) { o.workers = -1; }), "[workers]"));
  EXPECT_TRUE(contains(error([](FitOptions& o) { o.resume = true; }), "[resume]"));
}

}  // namespace
}  // namespace wafer
