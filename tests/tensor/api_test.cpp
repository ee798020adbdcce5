// The program of the design's page, as users write it, on a small set.
#include <wafer/wafer.h>

#include <gtest/gtest.h>

#include "tests/io/helpers.h"

using namespace wafer;

namespace {

struct Cnn : nn::Module {
  nn::Conv2d conv1{{.in = 3, .out = 32, .kernel = 3, .padding = 1}};
  nn::Conv2d conv2{{.in = 32, .out = 64, .kernel = 3, .padding = 1}};
  nn::Linear fc1{64 * 8 * 8, 512}, fc2{512, 10};
  Cnn() {
    add("conv1", conv1);
    add("conv2", conv2);
    add("fc1", fc1);
    add("fc2", fc2);
  }

  Tensor forward(const Tensor& x) {
    Tensor h = max_pool2d(relu(conv1(x)), 2);
    h = max_pool2d(relu(conv2(h)), 2);
    return fc2(relu(fc1(flatten(h, 1))));
  }
};

TEST(Api, TheDesignsProgram) {
  wafer::testing::TemporaryFolder folder;
  auto data = data::load("shapes", {}, {.train_size = 100, .test_size = 20})
                  .split({.validation = 0.1, .seed = 0});
  Cnn model;
  Trainer trainer{model, nn::cross_entropy, optim::Adam{{.lr = 1e-3}}};
  FitResult fit =
      trainer.fit(data.train, data.validation, {.epochs = 2, .batch_size = 30, .progress = false});
  EXPECT_EQ(fit.steps, 2 * 3);
  EXPECT_LT(*fit.epochs[1].train_loss, *fit.epochs[0].train_loss);
  eval::Report report = trainer.evaluate(data.test);
  report.write((folder / "report.html").string());
  EXPECT_GT(std::filesystem::file_size(folder / "report.html"), 1000u);
}

}  // namespace
