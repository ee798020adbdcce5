// Going on from the weights of a file: wafer's own, ONNX files, weights under PyTorch's names.
#include "wafer/models/start_from.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/deploy/onnx_bytes.h"
#include "tests/io/helpers.h"
#include "tests/train/helpers.h"
#include "wafer/data/load.h"
#include "wafer/deploy/onnx/onnx.h"
#include "wafer/io/file.h"
#include "wafer/models/export.h"
#include "wafer/models/import_weights.h"
#include "wafer/models/predictor.h"
#include "wafer/models/saved_model.h"
#include "wafer/models/toml.h"
#include "wafer/nn/graph_module.h"
#include "wafer/op/softmax.h"
#include "wafer/train/tensor_file.h"
#include "wafer/train/trainer.h"

using namespace wafer;
using namespace wafer::testing;
namespace fs = std::filesystem;

namespace {
std::unique_ptr<Trainer> trainer_of(models::Model& model, double lr = 1e-2) {
  nn::UnaryModule* module = model.module.get();
  return std::make_unique<Trainer>(
      *module, [module](const Tensor& x) { return (*module)(x); }, model.loss().function,
      std::make_shared<optim::Adam>(optim::AdamOptions{.lr = lr}), nullptr);
}
double loss_of(models::Model& model, const data::Dataset& set) {
  return *trainer_of(model)->evaluate(set).splits.at(0).loss;
}
void fit(models::Model& model, const data::Dataset& set, int64_t epochs) {
  trainer_of(model)->fit(set, {}, {.epochs = epochs, .batch_size = 12, .progress = false});
}
bool is_graph(const models::Model& model) {
  return dynamic_cast<nn::GraphModule*>(model.module.get()) != nullptr;
}
std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

std::vector<float> numbers(size_t count, uint64_t seed) {
  RandomStream random(seed);
  std::vector<float> values;
  for (size_t i = 0; i < count; ++i) values.push_back(static_cast<float>(random.uniform()) - 0.5F);
  return values;
}

// softmax(W2 relu(batch_norm(W1 x + b1)) + b2) of [n, 4], with so many classes. The values between
// are reshaped to [shape(x)[0], -1], as PyTorch writes view(x.size(0), -1).
std::string network(int64_t classes, int64_t inputs = 4) {
  auto integers = [](const std::string& name, std::vector<int64_t> dims, int64_t value) {
    Message t;
    for (int64_t dim : dims) t.number(1, static_cast<uint64_t>(dim));
    t.number(2, 7).text(8, name);
    return t.text(9, std::string(reinterpret_cast<const char*>(&value), 8));
  };
  auto n = static_cast<size_t>(classes);
  GraphParts parts;
  parts.nodes = {
      node_message("Gemm", {"x", "w1", "b1"}, {"h1"}, {integer_attribute("transB", 1)}),
      node_message("BatchNormalization", {"h1", "scale", "shift", "mean", "var"}, {"h2"}),
      node_message("Relu", {"h2"}, {"h3"}),
      node_message("Shape", {"x"}, {"s"}),
      node_message("Gather", {"s", "zero"}, {"n0"}),
      node_message("Unsqueeze", {"n0", "axis"}, {"n1"}),
      node_message("Concat", {"n1", "rest"}, {"to"}, {integer_attribute("axis", 0)}),
      node_message("Reshape", {"h3", "to"}, {"h4"}),
      node_message("Gemm", {"h4", "fc.weight", "fc.bias"}, {"h5"},
                   {integer_attribute("transB", 1)}),
      node_message("Softmax", {"h5"}, {"y"})};
  auto in = static_cast<size_t>(inputs);
  parts.initializers = {tensor_message("w1", {6, inputs}, numbers(6 * in, 1)),
                        tensor_message("b1", {6}, numbers(6, 2)),
                        tensor_message("scale", {6}, {1, 1, 1, 1, 1, 1}),
                        tensor_message("shift", {6}, numbers(6, 3)),
                        tensor_message("mean", {6}, numbers(6, 4)),
                        tensor_message("var", {6}, {1, 2, 1, 2, 1, 2}),
                        tensor_message("fc.weight", {classes, 6}, numbers(6 * n, 5)),
                        tensor_message("fc.bias", {classes}, numbers(n, 6)),
                        integers("zero", {}, 0),
                        integers("axis", {1}, 0),
                        integers("rest", {1}, -1)};
  parts.inputs = {info_message("x", {-1, inputs})};
  parts.outputs = {info_message("y", {-1, classes})};
  return model_bytes(graph_message(parts));
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class StartFromOnnx : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  }
  TemporaryFolder folder_;
  data::Dataset blobs_ = blobs(48);
};
}  // namespace

TEST(StartFrom, ASavedModelGoesOnWhereItStopped) {
  TemporaryFolder folder;
  data::Splits splits = data::load("shapes");
  data::Dataset set = splits.train.take(60).with({{0.1F, 0.2F, 0.3F}, {0.5F, 0.5F, 0.5F}});
  models::DataSpec spec = models::spec_of(set.description());
  models::Model cnn =
      models::create("cnn", {{"conv1", "4"}, {"conv2", "4"}, {"hidden", "8"}}, &spec, 3);
  fit(cnn, set, 1);
  models::save_model(folder / "model.safetensors", cnn, data::input_spec(set));
  // The folder stands for its model; what comes back is a model of the same kind, not its graph.
  auto start = models::start_from(folder.path(), set.description(), 9);
  EXPECT_FALSE(is_graph(start.model));
  EXPECT_EQ(start.model.options, cnn.options);
  EXPECT_TRUE(start.notes.empty()) << text_of(start.notes);
  ASSERT_TRUE(start.normalise);
  EXPECT_EQ(*start.normalise, set.normalise());
  EXPECT_EQ(loss_of(start.model, set), loss_of(cnn, set));
  EXPECT_TRUE(start.model.module->training());
}

TEST(StartFrom, BatchNormTrainsAndTheHeadIsNewForOtherClasses) {
  TemporaryFolder folder;
  const char* toml =
      "name = \"small\"\n[[layer]]\ntype = \"linear\"\nname = \"fc1\"\nout = 8\n"
      "[[layer]]\ntype = \"batch_norm\"\nname = \"norm\"\n[[layer]]\ntype = \"linear\"\nname = "
      "\"fc2\"\n";
  data::Dataset three = blobs(48), two = blobs(48, 0, 2);
  models::DataSpec spec = models::spec_of(three.description());
  models::Model model = models::from_toml_text(toml, "small.toml", &spec, 1);
  fit(model, three, 2);
  models::save_model(folder / "m.safetensors", model, data::input_spec(three));
  auto start = models::start_from(folder / "m.safetensors", two.description(), 5);
  EXPECT_FALSE(is_graph(start.model));
  EXPECT_NE(text_of(start.notes).find("gave 3 outputs, is replaced by a new one for 2: fc2.weight"),
            std::string::npos)
      << text_of(start.notes);
  auto was = model.module->state_dict(), is = start.model.module->state_dict();
  EXPECT_EQ(is.at("fc1.weight").data<float>(), was.at("fc1.weight").data<float>());
  EXPECT_EQ(is.at("norm.running_mean").data<float>(), was.at("norm.running_mean").data<float>());
  EXPECT_EQ(is.at("fc2.weight").shape(), (Shape{2, 8}));
  fit(start.model, two, 1);
  EXPECT_NE(start.model.module->state_dict().at("norm.running_mean").data<float>(),
            was.at("norm.running_mean").data<float>());
}

TEST(StartFrom, SaysWhatDoesNotFit) {
  TemporaryFolder folder;
  data::Dataset set = blobs(12);
  models::DataSpec spec = models::spec_of(set.description());
  models::Model mlp = models::create("mlp", {{"hidden", "5"}}, &spec, 1);
  models::save_model(folder / "m.safetensors", mlp, data::input_spec(set));
  data::Description wider = set.description();
  wider.shape = {7};
  expect_user_error([&] { models::start_from(folder / "m.safetensors", wider, 0); },
                    {"m.safetensors", "do not fit the data", "got examples of f32[7]",
                     "expected f32[4]", "5x4", "5x7"});
  data::Description image = data::load("shapes").description();
  expect_user_error([&] { models::start_from(folder / "m.safetensors", image, 0); },
                    {"classification of features", "classification of image"});
  write_tensor_file(folder / "w.safetensors", {}, {});
  expect_user_error([&] { models::start_from(folder / "w.safetensors", wider, 0); },
                    {"w.safetensors", "no model", "wafer import --from"});
  for (std::string head : {std::string("PK\3\4...."), std::string("\x80\x02}q")}) {
    write(folder / "m.pt", head);
    expect_user_error([&] { models::start_from(folder / "m.pt", wider, 0); },
                      {"m.pt", "pickle", "python3 -c", "weights_only=True", "m.safetensors"});
  }
  expect_user_error([&] { models::start_from(folder.path(), wider, 0); }, {"no model.safetensors"});
  expect_user_error([&] { models::start_from(folder / "none.safetensors", wider, 0); },
                    {"none.safetensors"});
}

TEST_F(StartFromOnnx, TrainsAndIsSavedAndReadAgain) {
  write(folder_ / "net.onnx", network(3));
  auto start = models::start_from(folder_ / "net.onnx", blobs_.description(), 0);
  models::Model& model = start.model;
  std::vector<std::string> parameters, buffers;
  for (const auto& slot : model.module->named_parameters()) parameters.push_back(slot.name);
  for (const auto& slot : model.module->named_buffers()) buffers.push_back(slot.name);
  EXPECT_EQ(parameters,
            (std::vector<std::string>{"w1", "b1", "scale", "shift", "fc.weight", "fc.bias"}));
  EXPECT_EQ(buffers, (std::vector<std::string>{"mean", "var"}));
  std::string notes = text_of(start.notes);
  EXPECT_NE(notes.find("evaluation mode"), notes.npos) << notes;
  EXPECT_NE(notes.find("softmax"), notes.npos) << notes;
  // Softmax of its outputs is what the file computes.
  onnx::Session session(folder_ / "net.onnx");
  std::vector<float> x = numbers(8, 9);
  auto expected = session.run({Tensor::from_values(x, Shape{2, 4})}).values[0].tensor.data<float>();
  auto got = softmax((*model.module)(Tensor::from_values(x, Shape{2, 4}))).data<float>();
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-6);

  double before = loss_of(model, blobs_);
  fit(model, blobs_, 20);
  double after = loss_of(model, blobs_);
  EXPECT_LT(after, 0.5 * before);
  EXPECT_EQ(model.module->state_dict().at("mean").data<float>(), numbers(6, 4));

  models::save_model(folder_ / "m.safetensors", model, data::input_spec(blobs_));
  auto again = models::start_from(folder_ / "m.safetensors", blobs_.description(), 0);
  EXPECT_TRUE(is_graph(again.model));
  EXPECT_EQ(loss_of(again.model, blobs_), after);
}

TEST_F(StartFromOnnx, AnotherNumberOfClassesGetsANewLastLayerOfTheSeed) {
  write(folder_ / "net.onnx", network(5));
  auto start = models::start_from(folder_ / "net.onnx", blobs_.description(), 7);
  std::string notes = text_of(start.notes);
  EXPECT_NE(notes.find("gave 5 outputs, is replaced by a new one: linear, 6 -> 3"), notes.npos)
      << notes;
  auto state = start.model.module->state_dict();
  EXPECT_FALSE(state.contains("fc.weight"));
  EXPECT_EQ(state.at("head.weight").shape(), (Shape{3, 6}));
  auto same = models::start_from(folder_ / "net.onnx", blobs_.description(), 7);
  auto other = models::start_from(folder_ / "net.onnx", blobs_.description(), 8);
  auto head = [](const models::Start& s) {
    return s.model.module->state_dict().at("head.weight").data<float>();
  };
  EXPECT_EQ(head(start), head(same));
  EXPECT_NE(head(start), head(other));
  double before = loss_of(start.model, blobs_);
  fit(start.model, blobs_, 20);
  EXPECT_LT(loss_of(start.model, blobs_), 0.5 * before);
}

// SqueezeNet's: a 1x1 convolution gives the classes at each place, which are then averaged.
TEST_F(StartFromOnnx, AConvolutionAtTheEndIsALastLayer) {
  data::Dataset set = data::load("shapes").train.take(96);
  GraphParts parts;
  parts.nodes = {
      node_message("Conv", {"x", "w1", "b1"}, {"h1"}),   node_message("Relu", {"h1"}, {"h2"}),
      node_message("Conv", {"h2", "w2", "b2"}, {"h3"}),  node_message("Relu", {"h3"}, {"h4"}),
      node_message("GlobalAveragePool", {"h4"}, {"h5"}), node_message("Flatten", {"h5"}, {"y"})};
  parts.initializers = {
      tensor_message("w1", {8, 3, 3, 3}, numbers(216, 1)), tensor_message("b1", {8}, numbers(8, 2)),
      tensor_message("w2", {6, 8, 1, 1}, numbers(48, 3)), tensor_message("b2", {6}, numbers(6, 4))};
  parts.inputs = {info_message("x", {-1, 3, 32, 32})};
  parts.outputs = {info_message("y", {-1, 6})};
  write(folder_ / "net.onnx", model_bytes(graph_message(parts)));
  EXPECT_EQ(models::image_input(folder_ / "net.onnx"), (Shape{3, 32, 32}));
  auto start = models::start_from(folder_ / "net.onnx", set.description(), 0);
  std::string notes = text_of(start.notes);
  EXPECT_NE(notes.find("6 outputs, is replaced by a new one: linear, 8 -> 10, of the mean over all "
                       "places"),
            notes.npos)
      << notes;
  auto state = start.model.module->state_dict();
  EXPECT_FALSE(state.contains("w2"));
  EXPECT_EQ(state.at("head.weight").shape(), (Shape{10, 8}));
  double before = loss_of(start.model, set);
  fit(start.model, set, 8);
  EXPECT_LT(loss_of(start.model, set), before);
  // A 3x3 convolution is no linear layer.
  parts.initializers[2] = tensor_message("w2", {6, 8, 3, 3}, numbers(432, 3));
  write(folder_ / "wide.onnx", model_bytes(graph_message(parts)));
  expect_user_error([&] { models::start_from(folder_ / "wide.onnx", set.description(), 0); },
                    {"wide.onnx", "the output comes from conv"});
}

TEST_F(StartFromOnnx, SaysWhatDoesNotFit) {
  write(folder_ / "net.onnx", network(3, 9));
  expect_user_error([&] { models::start_from(folder_ / "net.onnx", blobs_.description(), 0); },
                    {"net.onnx", "'x'", "got examples of f32[4]", "expected FLOAT[nx9]",
                     "give data of that shape"});
  GraphParts parts;
  parts.nodes = {node_message("Relu", {"x"}, {"y"})};
  parts.inputs = {info_message("x", {-1, 4})};
  parts.outputs = {info_message("y", {-1, 4})};
  write(folder_ / "relu.onnx", model_bytes(graph_message(parts)));
  expect_user_error([&] { models::start_from(folder_ / "relu.onnx", blobs_.description(), 0); },
                    {"relu.onnx", "no weights"});
  parts.nodes = {node_message("MatMul", {"x", "w"}, {"h"}),
                 node_message("ReduceMax", {"h"}, {"y"}, {integer_attribute("keepdims", 0)})};
  parts.initializers = {tensor_message("w", {4, 4}, numbers(16, 1))};
  write(folder_ / "flat.onnx", model_bytes(graph_message(parts)));
  expect_user_error([&] { models::start_from(folder_ / "flat.onnx", blobs_.description(), 0); },
                    {"flat.onnx", "expected [batch, outputs]"});
  // A batch that the file fixes in the middle.
  parts.nodes = {node_message("MatMul", {"x", "w"}, {"h"}),
                 node_message("Reshape", {"h", "s"}, {"y"})};
  int64_t to[2] = {1, 4};
  Message shape;
  shape.number(1, 2).number(2, 7).text(8, "s");
  shape.text(9, std::string(reinterpret_cast<const char*>(to), 16));
  parts.initializers.push_back(shape);
  parts.inputs = {info_message("x", {1, 4})};
  write(folder_ / "fixed.onnx", model_bytes(graph_message(parts)));
  expect_user_error([&] { models::start_from(folder_ / "fixed.onnx", blobs_.description(), 0); },
                    {"fixed.onnx", "batches of 1 alone", "dynamic_axes"});
}

// What `wafer export --weights` writes and `wafer import` reads is the same to the bit.
TEST(ImportWeights, WeightsComeBackAsTheyWere) {
  TemporaryFolder folder;
  const std::vector<std::pair<std::string, models::Options>> all = {
      {"resnet18", {{"input", "3x8x8"}, {"stem", "cifar"}}},
      {"mobilenet_v3_small", {{"input", "3x32x32"}, {"width", "0.5"}}},
      {"vit_b_16", {{"input", "3x32x32"}, {"layers", "1"}, {"width", "24"}, {"feedforward", "8"}}},
      {"lstm", {{"hidden", "4"}}},
      {"gru", {{"hidden", "4"}, {"bidirectional", "true"}}},
      {"gpt2", {{"vocabulary", "9"}, {"layers", "1"}, {"width", "24"}}}};
  for (const auto& [name, options] : all) {
    SCOPED_TRACE(name);
    models::Model model = models::create(name, options, nullptr, 6);
    models::export_weights(folder / "a.safetensors", model);
    models::Model loaded = models::plan(name, options);
    EXPECT_TRUE(models::load_weights(loaded, folder / "a.safetensors").empty());
    models::export_weights(folder / "b.safetensors", loaded);
    EXPECT_EQ(io::read_file(folder / "a.safetensors", 1 << 30),
              io::read_file(folder / "b.safetensors", 1 << 30));
    Shape shape = model.spec.input.shape;
    std::vector<Dim> dims{Dim(2)};
    for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
    Type input{model.spec.input.dtype, Shape(dims)};
    Tensor x =
        is_integer(input.dtype)
            ? Tensor::from_values(
                  std::vector<int64_t>(static_cast<size_t>(input.shape.elements()), 3), input.shape)
            : Tensor::from_values(numbers(static_cast<size_t>(input.shape.elements()), 8),
                                  input.shape);
    EXPECT_EQ(models::Predictor(model).run(x), models::Predictor(loaded).run(x));
  }
}

TEST(ImportWeights, TakesPyTorchsNamesAndListsWhatDoesNotFit) {
  TemporaryFolder folder;
  models::Model model =
      models::create("resnet18", {{"input", "3x8x8"}, {"stem", "cifar"}}, nullptr, 4);
  nn::StateDict state = model.module->state_dict();
  auto write_state = [&](const nn::StateDict& tensors, const std::string& prefix = "") {
    std::vector<NamedMemory> memory;
    for (const auto& [name, tensor] : tensors)
      memory.push_back({prefix + name, tensor.type(), tensor.eval().storage()->data()});
    write_tensor_file(folder / "w.safetensors", memory, {});
  };
  auto planned = [&] { return models::plan("resnet18", model.options); };
  nn::StateDict without_counters = state;
  std::erase_if(without_counters,
                [](const auto& entry) { return entry.first.ends_with("num_batches_tracked"); });
  write_state(without_counters, "module.");
  models::Model loaded = planned();
  std::string notes = text_of(models::load_weights(loaded, folder / "w.safetensors"));
  EXPECT_NE(notes.find("'module.'"), notes.npos) << notes;
  for (const auto& [name, tensor] : loaded.module->state_dict()) {
    if (tensor.dtype() != DType::f32) continue;
    EXPECT_EQ(tensor.data<float>(), state.at(name).data<float>()) << name;
  }

  nn::StateDict wrong = state;
  wrong["layer1.0.conv1.weigth"] = wrong.at("layer1.0.conv1.weight");
  wrong.erase("layer1.0.conv1.weight");
  wrong["fc.weight"] = Tensor::from_values<float>({1, 2, 3, 4}, Shape{2, 2});
  wrong.erase("fc.bias");
  write_state(wrong);
  loaded = planned();
  expect_user_error([&] { models::load_weights(loaded, folder / "w.safetensors"); },
                    {"w.safetensors", "2 missing, 1 unexpected, 1 misshapen",
                     "layer1.0.conv1.weight; did you mean 'layer1.0.conv1.weigth'?", "fc.bias",
                     "fc.weight: 2x2 in the file, 1000x512 in the model"});
}
