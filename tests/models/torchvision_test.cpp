// Named models against PyTorch and torchvision: names, shapes and outputs of tests/models/expected,
// which make_expected.py wrote.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/models/filled.h"

using namespace wafer;
using wafer::testing_models::filled_model;
using wafer::testing_models::input_of;

namespace {
const std::filesystem::path folder = WAFER_SOURCE_DIR "/tests/models/expected";

std::string text_of(const nn::Slot& slot) {
  std::string text = slot.name;
  const Shape& shape = slot.value->shape();
  for (int i = 0; i < shape.rank(); ++i) text += (i == 0 ? " " : "x") + shape[i].text();
  return text;
}

class Torchvision : public ::testing::TestWithParam<std::string> {};

std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}
}  // namespace

TEST_P(Torchvision, NamesAndShapes) {
  std::ifstream file(folder / (GetParam() + ".txt"));
  ASSERT_TRUE(file);
  std::vector<nn::Slot> slots;
  models::Model model;
  size_t at = 0, names = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# ")) {
      EXPECT_EQ(at, slots.size()) << model.name;
      model = models::plan(line.substr(2));
      slots = model.module->named_slots();
      at = 0;
      continue;
    }
    ASSERT_LT(at, slots.size()) << model.name << " lacks " << line;
    ASSERT_EQ(text_of(slots[at++]), line) << model.name;
    ++names;
  }
  EXPECT_EQ(at, slots.size()) << model.name;
  EXPECT_GT(names, 0u);
}

TEST_P(Torchvision, Outputs) {
  testing_models::check_outputs(folder / (GetParam() + ".json"));
}

INSTANTIATE_TEST_SUITE_P(Models, Torchvision, ::testing::ValuesIn(families()),
                         [](const auto& info) { return info.param; });

namespace {
struct Row {
  const char* model;
  models::Options options;
  bool filled = false;  // first values that are zero hide the gradients of what comes before
};

float largest_of(const Tensor& t) {
  auto* data = static_cast<const float*>(t.storage()->data());
  float largest = 0;
  for (int64_t i = 0; i < t.elements(); ++i) {
    if (std::isnan(data[i])) return data[i];
    largest = std::max(largest, std::abs(data[i]));
  }
  return largest;
}

// A step along the gradients of a small batch in training mode: loss before and after. Every
// parameter must have a gradient, but the keys' bias, which softmax takes out again.
std::pair<float, float> losses_around_step(models::Model& model, double learning_rate) {
  nlohmann::json batch{{"input", {6}}};
  for (const Dim& dim : model.spec.input.shape.dims()) batch["input"].push_back(dim.value());
  if (model.options.contains("vocabulary"))
    batch["vocabulary"] = std::stoi(model.options.at("vocabulary"));
  Tensor x = input_of(batch);
  Tensor targets = Tensor::from_values(std::vector<int64_t>{0, 1, 2, 0, 1, 2}, Shape{6});
  auto loss_of = [&] { return model.loss()((*model.module)(x), targets); };
  auto slots = model.module->named_parameters();
  Tensor before = loss_of();
  auto gradients = grad(before, model.module->parameters());
  std::vector<Tensor> values = gradients;
  values.push_back(before);
  evaluate(values);
  for (size_t i = 0; i < slots.size(); ++i) {
    float largest = largest_of(gradients[i]);
    EXPECT_TRUE(std::isfinite(largest)) << slots[i].name << ": " << largest;
    EXPECT_TRUE(largest > 0 || slots[i].name.ends_with("key.bias")) << slots[i].name;
    *slots[i].value = *slots[i].value - gradients[i] * learning_rate;
  }
  Tensor after = loss_of();
  evaluate({after});
  auto number = [](const Tensor& t) { return *static_cast<const float*>(t.storage()->data()); };
  return {number(before), number(after)};
}
}  // namespace

TEST(NamedModels, StepLowersLoss) {
  const std::vector<Row> rows{
      {"resnet18", {{"input", "3x16x16"}, {"outputs", "3"}, {"stem", "cifar"}}},
      {"mobilenet_v2",
       {{"input", "3x32x32"}, {"outputs", "3"}, {"width", "0.35"}, {"dropout", "0"}}},
      {"mobilenet_v3_small", {{"input", "3x64x64"}, {"outputs", "3"}, {"dropout", "0"}}},
      {"vit_b_16",
       {{"input", "3x16x16"},
        {"outputs", "3"},
        {"patch", "8"},
        {"layers", "1"},
        {"heads", "2"},
        {"width", "8"},
        {"feedforward", "16"}},
       true},
      {"bert_base",
       {{"input", "6"},
        {"vocabulary", "20"},
        {"positions", "6"},
        {"outputs", "3"},
        {"layers", "1"},
        {"heads", "2"},
        {"width", "8"},
        {"feedforward", "16"},
        {"dropout", "0"}}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.model);
    models::Model model =
        row.filled ? filled_model(row.model, row.options) : models::create(row.model, row.options);
    auto [before, after] = losses_around_step(model, 0.01);
    EXPECT_LT(after, before);
    EXPECT_TRUE(std::isfinite(after));
  }
}

TEST(NamedModels, FirstValuesAreTorchvisions) {
  models::Model model = models::create("resnet18", {{"outputs", "10"}});
  auto state = model.module->state_dict();
  double squares = 0;
  auto values = testing_nn::host(state.at("layer2.0.conv1.weight"));  // 128x64x3x3
  for (float value : values) squares += double{value} * double{value};
  double deviation = std::sqrt(squares / static_cast<double>(values.size()));
  EXPECT_NEAR(deviation, std::sqrt(2.0 / (128 * 9)), 0.002);
  models::Model again = models::create("resnet18", {{"outputs", "10"}});
  EXPECT_EQ(values, testing_nn::host(again.module->state_dict().at("layer2.0.conv1.weight")));
}

// As torchvision's pages of models give them.
TEST(NamedModels, ParameterCounts) {
  const std::vector<std::pair<const char*, int64_t>> rows{
      {"densenet161", 28681000},     {"densenet169", 14149480},     {"densenet201", 20013928},
      {"efficientnet_b1", 7794184},  {"efficientnet_b3", 12233232}, {"resnet101", 44549160},
      {"wide_resnet50_2", 68883240}, {"alexnet", 61100840},         {"vgg19_bn", 143678248},
      {"vit_l_16", 304326632}};
  for (const auto& [name, count] : rows)
    EXPECT_EQ(models::plan(name).module->parameter_count(), count) << name;
}

TEST(NamedModels, PlanHasShapesButNoValues) {
  models::Model model = models::plan("resnet152");
  EXPECT_EQ(model.module->parameter_count(), 60192808);
  EXPECT_FALSE(model.module->parameters()[0].storage());
  model = models::plan("mobilenet_v2", {{"outputs", "10"}, {"width", "0.35"}});
  model.module->initialise(1);
  EXPECT_TRUE(model.module->parameters()[0].storage());
}
