#include <gtest/gtest.h>

#include "tests/nn/cnn.h"
#include "tests/nn/helpers.h"
#include "wafer/models/cnn.h"
#include "wafer/models/model.h"
#include "wafer/wafer.h"

using namespace wafer;
using wafer::testing_nn::Cnn;
using wafer::testing_nn::contains;
using wafer::testing_nn::host;
using wafer::testing_nn::message;

namespace {
Tensor images(int64_t batch = 64) {
  return make_input({DType::f32, Shape{batch, 3, 32, 32}}, "x");
}
}  // namespace

TEST(UserModel, CompilesAndHasPyTorchsNames) {
  Cnn model;
  std::vector<std::string> names;
  for (const auto& slot : model.named_parameters()) names.push_back(slot.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                      "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}));
  Tensor y = nn::callable(model)(images());
  EXPECT_EQ(y.shape(), (Shape{64, 10}));
  EXPECT_EQ(model.name(), "cnn");
}

TEST(UserModel, LinearBuiltForAnotherImageSize) {
  struct Slip : Cnn {
    nn::Linear wrong{7 * 7 * 64, 512};
    Slip() { add("wrong", wrong); }
    Tensor forward(const Tensor& x) {
      Tensor h = max_pool2d(relu(conv1(x)), 2);
      h = max_pool2d(relu(conv2(h)), 2);
      return fc2(relu(wrong(flatten(h, 1))));
    }
  };
  Slip model;
  model.set_name("cnn");
  std::string text = message([&] { nn::callable(model)(images()); });
  for (const char* part : {"(at cnn.wrong)", "4096", "3136", "64x8x8", "Linear{4096, 512}"}) {
    EXPECT_TRUE(contains(text, part));
  }
}

TEST(UserModel, WrongChannelsNameTheMend) {
  Cnn model;
  Tensor grey = make_input({DType::f32, Shape{64, 1, 28, 28}}, "x");
  std::string text = message([&] { nn::callable(model)(grey); });
  for (const char* part : {"[conv2d]", "1 channels", "takes 3", ".in = 1", "(at cnn.conv1)"}) {
    EXPECT_TRUE(contains(text, part));
  }
}

TEST(Models, CnnIsTheOneOfTheIssue) {
  auto model = models::create("cnn");
  EXPECT_EQ(model.module->parameter_count(), 896 + 18496 + 2097664 + 5130);
  Cnn written;
  auto ours = model.module->state_dict(), theirs = written.state_dict();
  ASSERT_EQ(ours.size(), theirs.size());
  for (const auto& [name, value] : ours) EXPECT_EQ(value.shape(), theirs.at(name).shape()) << name;
  EXPECT_EQ((*model.module)(images()).shape(), (Shape{64, 10}));
}

TEST(Models, SameSeedSameWeights) {
  auto a = models::create("mlp", {}, nullptr, 3), b = models::create("mlp", {}, nullptr, 3);
  auto c = models::create("mlp", {}, nullptr, 4);
  EXPECT_EQ(host(a.module->state_dict().at("fc1.weight")),
            host(b.module->state_dict().at("fc1.weight")));
  EXPECT_NE(host(a.module->state_dict().at("fc1.weight")),
            host(c.module->state_dict().at("fc1.weight")));
}

TEST(Models, DataSetsInputAndOutputsUnlessOptionsDo) {
  models::DataSpec mnist{{DType::f32, Shape{1, 28, 28}}, 10, models::Task::classification};
  auto cnn = models::create("cnn", {{"hidden", "32"}}, &mnist);
  EXPECT_EQ(cnn.spec.input.shape, (Shape{1, 28, 28}));
  EXPECT_EQ(cnn.module->state_dict().at("fc1.weight").shape(), (Shape{32, 64 * 7 * 7}));
  auto mlp = models::create("mlp", {{"outputs", "2"}, {"hidden", ""}}, &mnist);
  EXPECT_EQ(mlp.module->state_dict().at("fc1.weight").shape(), (Shape{2, 784}));
}

TEST(Models, ErrorsSuggest) {
  EXPECT_TRUE(contains(message([] { models::create("cn"); }), "did you mean 'cnn'?"));
  EXPECT_TRUE(contains(message([] {
                         models::create("cnn", {{"hiden", "3"}});
                       }),
                       "did you mean 'hidden'?"));
  EXPECT_TRUE(contains(message([] {
                         models::create("cnn", {{"hidden", "x"}});
                       }),
                       "hidden = 'x'; expected a whole number"));
  EXPECT_TRUE(contains(message([] {
                         models::create("mlp", {{"activation", "rellu"}});
                       }),
                       "did you mean 'relu'?"));
  EXPECT_TRUE(contains(message([] { models::create("cnn", {{"input", "784"}}); }), "an image"));
}
