// Named models against PyTorch and torchvision: names, shapes and outputs of tests/models/expected,
// which make_expected.py wrote.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/nn/helpers.h"
#include "wafer/models/model.h"
#include "wafer/wafer.h"

using namespace wafer;

namespace {
const std::filesystem::path folder = WAFER_SOURCE_DIR "/tests/models/expected";

// As make_expected.py: numbers in [-1/2, 1/2) that depend on the name and the index alone.
double uniform(uint32_t name_hash, uint32_t index) {
  uint32_t x = name_hash + index;
  for (int round = 0; round < 2; ++round) {
    x ^= x >> 16;
    x *= 0x45D9F3Bu;
  }
  x ^= x >> 16;
  return static_cast<double>(x >> 8) / 16777216.0 - 0.5;
}

uint32_t hash_of(const std::string& name) {
  uint32_t hash = 0x811C9DC5u;  // FNV-1a
  for (unsigned char c : name) hash = (hash ^ c) * 0x01000193u;
  return hash;
}

// offset + scale u.
Tensor filled(const std::string& name, const Shape& shape, double offset, double scale) {
  auto values = allocate_host(static_cast<size_t>(shape.elements()) * sizeof(float));
  auto* data = static_cast<float*>(values->data());
  uint32_t hash = hash_of(name);
  for (uint32_t i = 0; i < static_cast<uint32_t>(shape.elements()); ++i)
    data[i] = static_cast<float>(offset + scale * uniform(hash, i));
  return Tensor::from_storage({DType::f32, shape}, std::move(values));
}

Tensor fill(const std::string& name, const Tensor& slot) {
  const Shape& shape = slot.shape();
  if (slot.dtype() == DType::i64) return slot;
  if (name.ends_with("running_var")) return filled(name, shape, 1, 0.5);
  if (shape.rank() >= 2) {
    double fan_in = static_cast<double>(shape.elements()) / static_cast<double>(shape.size(0));
    return filled(name, shape, 0, std::sqrt(24 / fan_in));
  }
  return name.ends_with("weight") ? filled(name, shape, 1, 0.5) : filled(name, shape, 0, 0.2);
}

Tensor input_of(const nlohmann::json& row) {
  Shape shape(row["input"].get<std::vector<int64_t>>());
  if (!row.contains("vocabulary")) return filled("input", shape, 0, 4);
  std::vector<int64_t> tokens;
  uint32_t hash = hash_of("input");
  for (uint32_t i = 0; i < static_cast<uint32_t>(shape.elements()); ++i) {
    double u = uniform(hash, i) + 0.5;
    tokens.push_back(static_cast<int64_t>(u * row["vocabulary"].get<double>()));
  }
  return Tensor::from_values(tokens, shape);
}

models::Model filled_model(const std::string& name, const models::Options& options) {
  models::Model model = models::plan(name, options);
  nn::StateDict state;
  for (const auto& slot : model.module->named_slots())
    state[slot.name] = fill(slot.name, *slot.value);
  model.module->load_state_dict(state);
  return model;
}

// Largest difference by the largest expected number.
double relative_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(double{got[i]} - double{expected[i]}));
    if (std::isnan(got[i])) return got[i];
    largest = std::max(largest, std::abs(double{expected[i]}));
  }
  return worst / largest;
}

std::string text_of(const nn::Slot& slot) {
  std::string text = slot.name;
  const Shape& shape = slot.value->shape();
  for (int i = 0; i < shape.rank(); ++i) text += (i == 0 ? " " : "x") + shape[i].text();
  return text;
}

class Torchvision : public testing::TestWithParam<std::string> {};

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
  std::ifstream file(folder / (GetParam() + ".json"));
  auto rows = nlohmann::json::parse(file);
  ASSERT_FALSE(rows.empty());
  for (const auto& row : rows) {
    auto options = row["options"].get<models::Options>();
    models::Model model = filled_model(row["model"], options);
    model.module->eval();
    Tensor y = (*model.module)(input_of(row));
    evaluate({y});
    auto expected = row["outputs"].get<std::vector<float>>();
    ASSERT_EQ(static_cast<size_t>(y.elements()), expected.size()) << row["model"];
    EXPECT_LT(relative_error(testing_nn::host(y), expected), 1e-4)
        << row["model"] << " " << row["options"];
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Torchvision, testing::ValuesIn(families()),
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
