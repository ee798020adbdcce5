// Models written as ONNX and read back: the same outputs, for a batch of any size.
#include "wafer/models/export.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/io/helpers.h"
#include "wafer/base/philox.h"
#include "wafer/deploy/onnx/onnx.h"
#include "wafer/io/safetensors.h"
#include "wafer/models/saved_model.h"
#include "wafer/models/toml.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/jit.h"

namespace wafer {
namespace {
using wafer::testing::expect_user_error;
using wafer::testing::TemporaryFolder;

class OnnxExport : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  }
  TemporaryFolder folder;
};

Tensor random_batch(const Type& sample, int64_t batch) {
  std::vector<int64_t> sizes = sample.shape.sizes();
  sizes.insert(sizes.begin(), batch);
  Shape shape(sizes);
  RandomStream random(7, static_cast<uint64_t>(batch));
  auto count = static_cast<size_t>(shape.elements());
  if (sample.dtype == DType::i64) {
    std::vector<int64_t> tokens(count);
    for (int64_t& token : tokens) token = random.below(20);
    return Tensor::from_values(tokens, shape);
  }
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.uniform() * 2 - 1);
  return Tensor::from_values(values, shape);
}

// The greatest difference, relative to the greatest output.
double difference(const Tensor& got, const Tensor& expected) {
  EXPECT_EQ(got.type(), expected.type());
  std::vector<float> a = got.data<float>(), b = expected.data<float>();
  double worst = 0, largest = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    worst = std::max(worst, std::abs(double{a[i]} - double{b[i]}));
    largest = std::max(largest, std::abs(double{b[i]}));
  }
  EXPECT_GT(largest, 0);
  return worst / largest;
}

void compare(const models::Model& model, const std::filesystem::path& path) {
  onnx::Session session(path);
  ASSERT_EQ(session.inputs().size(), 1u);
  EXPECT_EQ(session.inputs()[0].name, "input");
  EXPECT_EQ(session.inputs()[0].type.dims.at(0), Dim::symbol("batch"));
  model.module->eval();
  for (int64_t batch : {1, 3}) {
    Tensor x = random_batch(model.spec.input, batch);
    auto outputs = session.run({x});
    EXPECT_EQ(outputs.segments, 1);
    EXPECT_LT(difference(outputs.values.at(0).tensor, (*model.module)(x)), 1e-5);
  }
}

std::set<std::string> operators(const onnx::GraphDef& graph) {
  std::set<std::string> names;
  for (const auto& node : graph.nodes) names.insert(node.op_type);
  return names;
}

TEST_F(OnnxExport, SmallModelsRoundTrip) {
  std::vector<std::pair<std::string, models::Options>> cases = {
      {"mlp", {}},
      {"cnn", {}},
      {"rnn", {}},
      {"lstm", {}},
      {"gru", {}},
      {"resnet18", {{"input", "3x32x32"}}},
      {"transformer", {}},
      {"unet", {{"input", "3x32x32"}}},
      {"mobilenet_v3_small", {{"input", "3x32x32"}}}};
  for (const auto& [name, options] : cases) {
    for (int64_t opset : {17, 27}) {
      SCOPED_TRACE(str(name, " at operator set ", opset));
      models::Model model = models::create(name, options);
      models::export_onnx(folder / "model.onnx", model, {.opset = opset});
      compare(model, folder / "model.onnx");
    }
  }
}

TEST_F(OnnxExport, KeepsWeightsNamesAndCompositeOperators) {
  models::Model model = models::create("resnet18", {{"input", "3x32x32"}});
  models::export_onnx(folder / "model.onnx", model);
  auto read = onnx::read_model(folder / "model.onnx");
  nn::StateDict state = model.module->state_dict();
  size_t found = 0;
  for (const auto& [name, value] : read->graph.initializers) {
    auto weight = state.find(name);
    if (weight == state.end()) continue;
    ++found;
    EXPECT_EQ(value.tensor.data<float>(), weight->second.data<float>()) << name;
  }
  // Counters of batches have no use in inference.
  size_t floating = 0;
  for (const auto& [name, value] : state) floating += is_floating(value.dtype());
  EXPECT_EQ(found, floating);
  EXPECT_EQ(read->graph.name, "resnet18");
  std::set<std::string> expected = {"Conv", "BatchNormalization", "Relu", "MaxPool", "Add", "Gemm"};
  std::set<std::string> written = operators(read->graph);
  for (const std::string& name : expected) EXPECT_TRUE(written.count(name)) << name;
  EXPECT_FALSE(written.count("Expand"));
}

TEST_F(OnnxExport, RecurrentLayersAreOneNode) {
  models::Model model = models::create("lstm");
  models::export_onnx(folder / "model.onnx", model);
  std::set<std::string> written = operators(onnx::read_model(folder / "model.onnx")->graph);
  EXPECT_TRUE(written.count("LSTM"));
  EXPECT_FALSE(written.count("Scan"));
}

TEST_F(OnnxExport, SavedModelsRoundTrip) {
  models::DataSpec spec;
  spec.input = {DType::f32, Shape{3, 8, 8}};
  spec.outputs = 4;
  models::Model model = models::create("cnn", {}, &spec);
  data::InputSpec input;
  input.description.shape = {3, 8, 8};
  input.description.classes = {"a", "b", "c", "d"};
  models::save_model(folder / "model.safetensors", model, input);
  models::Model loaded = models::load_model(folder / "model.safetensors").model;
  models::export_onnx(folder / "model.onnx", loaded);
  compare(model, folder / "model.onnx");
  models::export_onnx(folder / "direct.onnx", model);
  EXPECT_EQ(io::read_file(folder / "model.onnx"), io::read_file(folder / "direct.onnx"));
}

TEST_F(OnnxExport, ExternalDataLieBesideTheFile) {
  models::Model model = models::create("mlp");
  models::export_onnx(folder / "model.onnx", model, {.external_data = true});
  EXPECT_LT(std::filesystem::file_size(folder / "model.onnx"), 20000u);
  EXPECT_GT(std::filesystem::file_size(folder / "model.onnx.data"), 1000000u);
  compare(model, folder / "model.onnx");
}

TEST_F(OnnxExport, WritesTheSameBytesAgain) {
  models::Model model = models::create("transformer");
  models::export_onnx(folder / "a.onnx", model);
  models::export_onnx(folder / "b.onnx", model);
  EXPECT_EQ(io::read_file(folder / "a.onnx"), io::read_file(folder / "b.onnx"));
}

TEST_F(OnnxExport, SymbolsGiveShapesInsideLoops) {
  // [batch, 4] scanned along 4 with a carry [2 * batch + 1], which only a computed shape can fill.
  Dim batch = Dim::symbol("batch");
  Graph graph = trace(
      [&](const std::vector<Tensor>& in) {
        Shape wide{batch * Dim(2) + Dim(1)};
        Tensor start = broadcast_to(Tensor::from_values(std::vector<float>{0}, Shape{1}), wide);
        auto result = scan(
            [&](const std::vector<Tensor>& carries, const std::vector<Tensor>& xs) -> ScanStep {
              Tensor next = carries[0] + broadcast_to(sum(xs[0]), wide);
              return {{next}, {sum(next)}};
            },
            {start}, {transpose(in[0], {1, 0})});
        return std::vector<Tensor>{result.carries[0], result.ys[0]};
      },
      {{DType::f32, Shape({batch, Dim(4)})}});
  onnx::export_model(folder / "scan.onnx", graph, {{"x"}}, {"carry", "sums"});
  onnx::Session session(folder / "scan.onnx");
  EXPECT_TRUE(operators(session.model().graph).count("Scan"));
  Tensor x = Tensor::from_values(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}, Shape{2, 4});
  auto outputs = session.run({x});
  EXPECT_EQ(outputs.values[0].tensor.data<float>(), std::vector<float>(5, 36));
  EXPECT_EQ(outputs.values[1].tensor.data<float>(), (std::vector<float>{30, 70, 120, 180}));
}

TEST_F(OnnxExport, WritesWeightsAlone) {
  models::Model model = models::create("cnn");
  models::export_weights(folder / "weights.safetensors", model);
  io::SafetensorsFile file(folder / "weights.safetensors");
  EXPECT_EQ(file.entries().size(), model.module->state_dict().size());
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST_F(OnnxExport, RefusesOtherOperatorSets) {
  models::Model model = models::create("mlp");
  for (int64_t opset : {16, 28})
    expect_user_error([&] { models::export_onnx(folder / "model.onnx", model, {.opset = opset}); },
                      {"operator set", str(opset), "17 to 27"});
  EXPECT_FALSE(std::filesystem::exists(folder / "model.onnx"));
}

TEST_F(OnnxExport, RefusesNamesGivenTwice) {
  Graph graph = trace([](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] + 1}; },
                      {{DType::f32, Shape{2}}});
  expect_user_error([&] { onnx::to_onnx(graph, {{"x"}}, {"x"}); }, {"'x'", "given twice"});
}

TEST_F(OnnxExport, OutputsMayBeInputsAndOneValueTwice) {
  Graph graph = trace(
      [](const std::vector<Tensor>& in) {
        Tensor y = in[0] * 2;
        return std::vector<Tensor>{in[0], y, y, zeros(Shape{2})};
      },
      {{DType::f32, Shape{2}}});
  onnx::export_model(folder / "model.onnx", graph, {{"x"}}, {"same", "a", "b", "zero"});
  auto outputs = onnx::Session(folder / "model.onnx")
                     .run({Tensor::from_values(std::vector<float>{1, 2}, Shape{2})});
  EXPECT_EQ(outputs.values[0].tensor.data<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(outputs.values[2].tensor.data<float>(), (std::vector<float>{2, 4}));
  EXPECT_EQ(outputs.values[3].tensor.data<float>(), (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace wafer
