#include <gtest/gtest.h>

#include "tests/backend_opencl/device.h"
#include "tests/io/helpers.h"
#include "wafer/data/load.h"
#include "wafer/models/model.h"
#include "wafer/train/trainer.h"

// Models trained on an OpenCL device follow the cpu device's losses from the same seed.
namespace wafer {
namespace {
// A set's folder, or empty.
std::filesystem::path public_data(const std::string& name) {
  auto folder = testing::shared_data();
  if (folder.empty()) return {};
  folder /= name;
  return std::filesystem::is_directory(folder) ? folder : std::filesystem::path();
}

struct Losses {
  std::vector<double> train, validation;
};

Losses train(const std::shared_ptr<Device>& device, const std::string& name,
             const models::Options& options, const data::Dataset& examples,
             const data::Dataset& validation, const FitOptions& fit) {
  models::DataSpec spec = models::spec_of(examples.description());
  models::Model model = models::create(name, options, &spec, 1);
  nn::UnaryModule* module = model.module.get();
  Trainer trainer(
      *module, [module](const Tensor& x) { return (*module)(x); }, model.loss().function,
      std::make_shared<optim::Adam>(optim::Adam{{.lr = 1e-3}}), device);
  FitResult result = trainer.fit(examples, validation, fit);
  Losses losses;
  for (const auto& epoch : result.epochs) {
    losses.train.push_back(*epoch.train_loss);
    losses.validation.push_back(*epoch.validation_loss);
  }
  return losses;
}

void follows_cpu(const std::shared_ptr<Device>& opencl, const std::string& name,
                 const models::Options& options, const data::Dataset& examples,
                 const data::Dataset& validation, FitOptions fit) {
  fit.progress = false;
  fit.seed = 1;
  Losses expected = train(device("cpu"), name, options, examples, validation, fit);
  Losses got = train(opencl, name, options, examples, validation, fit);
  ASSERT_EQ(got.train.size(), expected.train.size());
  for (size_t i = 0; i < got.train.size(); ++i) {
    EXPECT_NEAR(got.train[i], expected.train[i], 0.02 * expected.train[i]) << "epoch " << i + 1;
    EXPECT_NEAR(got.validation[i], expected.validation[i], 0.02 * expected.validation[i])
        << "epoch " << i + 1;
  }
  EXPECT_LT(got.train.back(), 0.9 * got.train.front()) << "it does not learn";
}

TEST(OpenClTraining, AnMlpOnMnistFollowsTheCpu) {
  WAFER_OPENCL_OR_SKIP(opencl);
  auto path = public_data("mnist");
  if (path.empty()) GTEST_SKIP() << "no mnist here";
  auto data = data::load("mnist", path);
  follows_cpu(opencl, "mlp", {}, data.train.take(6000), data.test.take(1000),
              {.epochs = 2, .batch_size = 64});
}

TEST(OpenClTraining, AConvolutionalNetOnCifarFollowsTheCpu) {
  WAFER_OPENCL_OR_SKIP(opencl);
  auto path = public_data("cifar10");
  if (path.empty()) GTEST_SKIP() << "no cifar10 here";
  auto data = data::load("cifar10", path);
  follows_cpu(opencl, "cnn", {}, data.train.take(5000), data.test.take(1000),
              {.epochs = 2, .batch_size = 64});
}

TEST(OpenClTraining, AnLstmOnTextFollowsTheCpu) {
  WAFER_OPENCL_OR_SKIP(opencl);
  auto path = public_data("tiny_shakespeare");
  if (path.empty()) GTEST_SKIP() << "no tiny_shakespeare here";
  auto data = data::load("tiny_shakespeare", path, {.sequence_length = 32});
  follows_cpu(opencl, "lstm", {}, data.train.take(640), data.test.take(64),
              {.epochs = 2, .batch_size = 32});
}

TEST(OpenClTraining, ATransformerOnTextFollowsTheCpu) {
  WAFER_OPENCL_OR_SKIP(opencl);
  auto path = public_data("tiny_shakespeare");
  if (path.empty()) GTEST_SKIP() << "no tiny_shakespeare here";
  auto data = data::load("tiny_shakespeare", path, {.sequence_length = 32});
  follows_cpu(opencl, "transformer", {}, data.train.take(320), data.test.take(64),
              {.epochs = 3, .batch_size = 32});
}

}  // namespace
}  // namespace wafer
