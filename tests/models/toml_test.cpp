#include "wafer/models/toml.h"

#include <gtest/gtest.h>

#include "tests/nn/helpers.h"
#include "wafer/models/summary.h"

using namespace wafer;
using wafer::testing_nn::contains;
using wafer::testing_nn::message;

namespace {
const char* const cnn = R"(name = "cnn"
input = [3, 32, 32]
outputs = 10
[[layer]]
type = "conv2d"
name = "conv1"
out = 32
kernel = 3
padding = 1
[[layer]]
type = "relu"
[[layer]]
type = "max_pool2d"
kernel = 2
[[layer]]
type = "conv2d"
name = "conv2"
out = 64
kernel = 3
padding = "same"
[[layer]]
type = "relu"
[[layer]]
type = "max_pool2d"
kernel = 2
[[layer]]
type = "flatten"
[[layer]]
type = "linear"
name = "fc1"
out = 512
[[layer]]
type = "relu"
[[layer]]
type = "linear"
name = "fc2"
)";

models::Model read(const std::string& text, const models::DataSpec* data = nullptr) {
  return models::from_toml_text(text, "model.toml", data);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& text, const models::DataSpec* data = nullptr) {
  return message([&] { read(text, data); });
}

// One sample of `spec` through the model.
Shape output_of(models::Model& model, int64_t batch = 2) {
  auto dims = model.spec.input.shape.dims();
  dims.insert(dims.begin(), Dim(batch));
  return (*model.module)(make_input({model.spec.input.dtype, Shape(dims)}, "x")).shape();
}
}  // namespace

TEST(Toml, BuildsTheCnn) {
  auto model = read(cnn);
  auto named = models::create("cnn");
  auto state = model.module->state_dict();
  for (const auto& [name, value] : named.module->state_dict()) {
    ASSERT_TRUE(state.contains(name)) << name;
    EXPECT_EQ(state.at(name).shape(), value.shape()) << name;
  }
  EXPECT_EQ(state.size(), named.module->state_dict().size());
  EXPECT_EQ(output_of(model), (Shape{2, 10}));
}

TEST(Toml, DataSetTakesThePlaceOfInputAndOutputs) {
  models::DataSpec mnist{{DType::f32, Shape{1, 28, 28}}, 7, models::Task::classification};
  auto model = read(cnn, &mnist);
  EXPECT_EQ(output_of(model), (Shape{2, 7}));
  EXPECT_EQ(model.module->state_dict().at("fc1.weight").shape(), (Shape{512, 64 * 7 * 7}));
}

TEST(Toml, SlipNamesLineLayerAndMend) {
  std::string text = error_of(replaced(cnn, "name = \"fc1\"", "name = \"fc1\"\nin = 3136"));
  for (const char* part :
       {"model.toml:28", "(at cnn.fc1)", "4096", "3136", "64x8x8", "Linear{4096, 512}"}) {
    EXPECT_TRUE(contains(text, part));
  }
}

TEST(Toml, SequencesAndResiduals) {
  const std::string text = R"(input = [16]
vocabulary = 65
outputs = 65
task = "next_token"
[[layer]]
type = "embedding"
width = 12
[[layer]]
type = "positional_embedding"
[[layer]]
type = "residual"
  [[layer.layer]]
  type = "layer_norm"
  [[layer.layer]]
  type = "linear"
  out = 12
[[layer]]
type = "transformer_encoder"
layers = 2
heads = 3
causal = true
[[layer]]
type = "gru"
hidden = 8
[[layer]]
type = "linear"
)";
  auto model = read(text);
  EXPECT_EQ(output_of(model), (Shape{2, 16, 65}));
  EXPECT_TRUE(model.module->state_dict().contains("2.body.1.weight"));
  EXPECT_TRUE(contains(error_of(replaced(text, "out = 12", "out = 13")), "change the shape"));
}

TEST(Toml, ErrorsNameLineAndMend) {
  const std::vector<std::array<std::string, 3>> rows{
      // what is replaced, by what, part of the message
      {"\"conv2d\"", "\"conv2\"", "model.toml:4] no layer type 'conv2'; did you mean 'conv2d'?"},
      {"kernel = 3", "kernal = 3",
       "model.toml:8] conv2d has no key 'kernal'; did you mean 'kernel'?"},
      {"kernel = 3", "kernel = \"3\"", "model.toml:8] conv2d: kernel = '3'"},
      {"kernel = 3", "kernel = 0", "at least 1"},
      {"out = 32\n", "", "conv2d needs the key 'out'"},
      {"padding = \"same\"", "padding = \"sane\"", "numbers or \"same\""},
      {"outputs = 10\n", "", "linear needs the key 'out'"},
      {"input = [3, 32, 32]\n", "", "input = [3, 32, 32]"},
      {"[[layer]]", "[[layers]]", "no key 'layers'; did you mean 'layer'?"},
      {"outputs = 10", "outputs = ", "model.toml:3]"},
      {"name = \"fc2\"", "out = 12", "12 outputs, but there are 10 classes"},
      {"type = \"flatten\"", "type = \"relu\"", "end with a flatten and a linear layer"},
  };
  for (const auto& [from, to, part] : rows) {
    EXPECT_TRUE(contains(error_of(replaced(cnn, from, to)), part)) << to;
  }
  EXPECT_TRUE(contains(error_of("input = [3]\noutputs = 1\n"), "no layers"));
  EXPECT_TRUE(contains(message([] { models::from_toml("absent.toml"); }), "absent.toml"));
}

TEST(Toml, EveryLayerTypeCanBeNamed) {
  for (const auto& [name, keys] : models::toml_layers()) {
    std::string text = error_of("input = [3]\n[[layer]]\ntype = \"" + name + "\"\nnot_a_key = 1\n");
    EXPECT_TRUE(contains(text, name + " has no key 'not_a_key'"));
  }
}

TEST(Summary, ListsLayersWithShapesAndWork) {
  auto model = models::create("cnn");
  auto rows = models::layers(*model.module, model.spec.input);
  ASSERT_GE(rows.size(), 8u);
  EXPECT_EQ(rows[0].path, "cnn.conv1");
  EXPECT_EQ(rows[0].layer, "Conv2d{in=3, out=32, kernel=3, padding=1}");
  EXPECT_EQ(rows[0].output, (Shape{32, 32, 32}));
  EXPECT_EQ(rows[0].parameters, 896);
  EXPECT_NEAR(rows[0].flops, 2.0 * 27 * 32 * 32 * 32, 40000);
  int64_t parameters = 0;
  for (const auto& row : rows) parameters += row.parameters;
  EXPECT_EQ(parameters, model.module->parameter_count());
  EXPECT_TRUE(model.module->training());
  std::string text = models::summary(*model.module, model.spec.input);
  EXPECT_TRUE(contains(text, "2,122,186"));
  EXPECT_TRUE(contains(text, "cnn.fc1"));
}

TEST(Sequences, ShapesOfEveryModel) {
  for (const char* name : {"rnn", "lstm", "gru", "transformer"}) {
    models::DataSpec frames{{DType::f32, Shape{9, 5}}, 4, models::Task::classification};
    auto classifier = models::create(name, {{"layers", "1"}, {"dropout", "0.1"}}, &frames);
    EXPECT_EQ(output_of(classifier), (Shape{2, 4})) << name;
    models::DataSpec text{{DType::i64, Shape{9}}, 30, models::Task::next_token};
    auto language = models::create(name, {{"width", "16"}}, &text);
    EXPECT_EQ(output_of(language), (Shape{2, 9, 30})) << name;
    Tensor targets = make_input({DType::i64, Shape{2, 9}}, "targets");
    Tensor x = make_input({DType::i64, Shape{2, 9}}, "x");
    EXPECT_EQ(language.loss()((*language.module)(x), targets).rank(), 0) << name;
  }
  auto both = models::create("lstm", {{"bidirectional", "true"}, {"pool", "mean"}});
  EXPECT_EQ(output_of(both), (Shape{2, 10}));
  EXPECT_TRUE(contains(message([] {
                         models::create("transformer", {{"heads", "3"}});
                       }),
                       "heads = '3'; expected a divisor of width, 128"));
  EXPECT_TRUE(contains(message([] {
                         models::create("gru", {{"input", "3x32x32"}});
                       }),
                       "frames x features"));
}
