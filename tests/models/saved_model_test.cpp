// A saved model: what is read runs to the same bits, without the class that was trained; damaged
// files are UserErrors.
#include "wafer/models/saved_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/io/helpers.h"
#include "tests/nn/helpers.h"
#include "wafer/base/philox.h"
#include "wafer/io/safetensors.h"
#include "wafer/models/predictor.h"
#include "wafer/models/toml.h"
#include "wafer/nn/graph_module.h"
#include "wafer/nn/linear.h"
#include "wafer/op/activation.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/graph_json.h"
#include "wafer/op/reduce.h"

using namespace wafer;
using wafer::testing::expect_user_error;
using wafer::testing::TemporaryFolder;
using wafer::testing_nn::contains;
using wafer::testing_nn::message;

namespace {
data::Description described_images(std::vector<int64_t> shape) {
  data::Description about;
  about.name = "drawn";
  about.shape = std::move(shape);
  about.classes = {"a", "b", "c"};
  return about;
}
data::Description frames() {
  data::Description about = described_images({6, 5});
  about.kind = data::InputKind::frames;
  about.stored = DType::f32;
  return about;
}
data::Description text(data::Task task) {
  data::Description about = described_images({7});
  about.kind = data::InputKind::tokens;
  about.task = task;
  return about;
}

const char* toml_text = R"(
name = "small"
[[layer]]
type = "conv2d"
out = 4
kernel = 3
padding = "same"
[[layer]]
type = "batch_norm"
[[layer]]
type = "residual"
  [[layer.layer]]
  type = "gelu"
[[layer]]
type = "adaptive_avg_pool2d"
size = 2
[[layer]]
type = "dropout"
[[layer]]
type = "flatten"
[[layer]]
type = "linear"
)";

struct Case {
  std::string model;  // a name, or TOML
  data::Description about;
  models::Options options;
};

std::vector<Case> cases() {
  std::vector<Case> all = {
      {"mlp", described_images({1, 4, 4}), {{"hidden", "8"}, {"dropout", "0.5"}}},
      {"cnn", described_images({3, 8, 8}), {{"conv1", "4"}, {"conv2", "5"}, {"hidden", "8"}}},
      {toml_text, described_images({2, 6, 6}), {}},
      {"transformer",
       text(data::Task::next_token),
       {{"width", "8"}, {"heads", "2"}, {"layers", "1"}, {"feedforward", "16"}}}};
  for (const char* name : {"rnn", "lstm", "gru"}) {
    for (const char* pool : {"mean", "last"})
      all.push_back({name, frames(), {{"hidden", "4"}, {"layers", "2"}, {"pool", pool}}});
    all.push_back({name, text(data::Task::next_token), {{"hidden", "4"}, {"layers", "1"}}});
  }
  all.push_back({"lstm", frames(), {{"hidden", "4"}, {"bidirectional", "true"}}});
  return all;
}

models::Model make(const Case& c) {
  models::DataSpec spec = models::spec_of(c.about);
  models::Model model = c.model.find('\n') == std::string::npos
                            ? models::create(c.model, c.options, &spec, 5)
                            : models::from_toml_text(c.model, "small.toml", &spec, 5);
  // Running statistics that are not those of a new model.
  for (const auto& slot : model.module->named_buffers()) {
    if (slot.name.ends_with("running_mean")) *slot.value = (*slot.value + 0.25).eval();
    if (slot.name.ends_with("running_var")) *slot.value = (*slot.value * 3.0).eval();
  }
  return model;
}

Tensor some_input(const data::Description& about, int64_t batch) {
  std::vector<int64_t> sizes = about.shape;
  sizes.insert(sizes.begin(), batch);
  Shape shape(sizes);
  RandomStream random(11);
  if (about.kind == data::InputKind::tokens) {
    std::vector<int64_t> tokens(static_cast<size_t>(shape.elements()));
    for (int64_t& token : tokens) token = random.uniform() < 0.5f ? 0 : 2;
    return Tensor::from_values(tokens, shape);
  }
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (float& value : values) value = static_cast<float>(random.uniform()) - 0.5f;
  return Tensor::from_values(values, shape);
}

TEST(SavedModel, RunsToTheSameBits) {
  TemporaryFolder folder;
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.model + " " + std::string(data::name(c.about.kind)));
    models::Model model = make(c);
    data::InputSpec input{c.about, {}};
    models::save_model(folder / "m.safetensors", model, input);
    models::SavedModel loaded = models::load_model(folder / "m.safetensors");
    EXPECT_NE(dynamic_cast<nn::GraphModule*>(loaded.model.module.get()), nullptr);
    EXPECT_EQ(loaded.model.name, model.name);
    EXPECT_EQ(loaded.model.options, model.options);
    EXPECT_EQ(loaded.model.module->parameter_count(), model.module->parameter_count());
    models::Predictor before(model), after(loaded.model);
    for (int64_t batch : {1, 3}) {
      std::vector<double> a = before.run(some_input(c.about, batch)),
                          b = after.run(some_input(c.about, batch));
      ASSERT_EQ(a.size(), b.size());
      EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(double)), 0) << batch;
    }
    // What was read can be saved, and is the same file.
    models::save_model(folder / "again.safetensors", loaded.model, loaded.input);
    EXPECT_EQ(io::read_file(folder / "again.safetensors", 1 << 24),
              io::read_file(folder / "m.safetensors", 1 << 24));
  }
}

// Also the large ones can be traced for a batch of any size.
TEST(SavedModel, EveryModelHasAGraph) {
  for (const models::ModelInfo& info : models::list()) {
    models::Model model = models::plan(info.name);
    Graph graph = models::saved_graph(model);
    EXPECT_EQ(graph.outputs[0].shape()[0], Dim::symbol("batch")) << info.name;
    EXPECT_EQ(graph.inputs.size(), model.module->named_slots().size() + 1) << info.name;
    EXPECT_FALSE(write_graph(graph).json.empty()) << info.name;
  }
}

// A class that nothing but this file knows, with a constant that is too large for JSON.
struct Unheard : nn::UnaryModule {
  nn::Linear fc{40, 3};
  Tensor table = Tensor::from_values(std::vector<float>(640, 0.5f), Shape{16, 40});
  Unheard() {
    set_name("unheard");
    add("fc", fc);
    initialise(3);
  }
  Tensor forward(const Tensor& x) override { return fc(x + mean(table * 2.0, {0})); }
};

TEST(SavedModel, NeedsNoNameThatIsKnownHere) {
  TemporaryFolder folder;
  data::Description about = described_images({40});
  about.kind = data::InputKind::features;
  about.stored = DType::f32;
  models::Model model;
  model.name = "unheard";
  model.module = std::make_unique<Unheard>();
  model.spec = models::spec_of(about);
  models::save_model(folder / "m.safetensors", model, {about, {}});
  io::SafetensorsFile file(folder / "m.safetensors");
  EXPECT_NE(file.find("wafer.graph.constant.0"), nullptr);
  models::SavedModel loaded = models::load_model(folder / "m.safetensors");
  models::Predictor before(model), after(loaded.model);
  EXPECT_EQ(before.run(some_input(about, 4)), after.run(some_input(about, 4)));
  // Layers keep their paths, and errors of shapes stay errors.
  auto& graph = dynamic_cast<nn::GraphModule&>(*loaded.model.module).graph();
  EXPECT_TRUE(contains(print(graph), "unheard.fc"));
  EXPECT_TRUE(
      contains(message([&] { (*loaded.model.module)(some_input(described_images({39}), 2)); }),
               "f32[batchx40]"));
}

// A saved mlp, and the same with changed metadata.
class Damaged : public ::testing::Test {
 protected:
  void SetUp() override {
    models::Model model = make(cases()[0]);
    models::save_model(path(), model, {cases()[0].about, {}});
    whole_ = io::read_file(path(), 1 << 24);
    io::SafetensorsFile file(path());
    metadata_ = file.metadata();
  }
  std::filesystem::path path() const { return folder_ / "m.safetensors"; }

  void expect_error(const std::map<std::string, std::string>& metadata,
                    const std::vector<std::string>& parts) {
    auto content = io::parse_safetensors(whole_, "m");
    io::write_safetensors(path(), content.entries, metadata);
    std::vector<std::string> all = parts;
    all.push_back("m.safetensors");
    expect_user_error([&] { models::load_model(path()); }, all);
  }
  // One place of the graph's text changed.
  void expect_graph_error(const std::string& from, const std::string& to,
                          const std::vector<std::string>& parts) {
    auto metadata = metadata_;
    std::string& graph = metadata["graph"];
    auto at = graph.find(from);
    ASSERT_NE(at, graph.npos) << from << " in " << graph;
    graph.replace(at, from.size(), to);
    expect_error(metadata, parts);
  }

  TemporaryFolder folder_;
  io::Bytes whole_;
  std::map<std::string, std::string> metadata_;
};

TEST_F(Damaged, Metadata) {
  for (const char* key : {"wafer.model", "graph", "parameters", "input", "options", "model"}) {
    auto metadata = metadata_;
    metadata.erase(key);
    expect_error(metadata, {key});
  }
  auto changed = [&](const char* key, const std::string& value) {
    auto metadata = metadata_;
    metadata[key] = value;
    return metadata;
  };
  expect_error(changed("wafer.model", "1"), {"version 1", "version 2"});
  expect_error(changed("options", "[1]"), {"options"});
  expect_error(changed("parameters", "-1"), {"parameters"});
  expect_error(changed("parameters", "1000000"), {"parameters"});
  expect_error(changed("graph", "{"), {"JSON"});
  expect_error(changed("graph", std::string(200000, '[')), {"JSON"});
  expect_error(changed("input", "{}"), {"inputs"});
}

TEST_F(Damaged, Graph) {
  expect_graph_error("\"matmul\"", "\"matmull\"", {"'matmull'", "did you mean 'matmul'"});
  expect_graph_error("fc1.weight", "fc9.weight", {"fc9.weight"});
  expect_graph_error("\"batch\",1,4,4", "\"batch\",1,4,5", {});
  expect_graph_error("\"batch\",1,4,4", "2305843009213693952,1,4,4", {});
  expect_graph_error("[8,16]", "[8,9999999999]", {});
  expect_graph_error("\"outputs\":[", "\"outputs\":[0,", {"one output"});
}

TEST_F(Damaged, Weights) {
  auto content = io::parse_safetensors(whole_, "m");
  auto entries = content.entries;
  entries.pop_back();
  io::write_safetensors(path(), entries, metadata_);
  expect_user_error([&] { models::load_model(path()); }, {"m.safetensors", "missing"});
  entries = content.entries;
  entries.push_back(entries[0]);
  entries.back().name = "left.over";
  io::write_safetensors(path(), entries, metadata_);
  expect_user_error([&] { models::load_model(path()); }, {"m.safetensors", "left.over"});
  entries = content.entries;
  std::swap(entries[0].bytes, entries[0].bytes);
  entries[0].shape.push_back(1);
  io::write_safetensors(path(), entries, metadata_);
  expect_user_error([&] { models::load_model(path()); }, {"m.safetensors", entries[0].name});
}

// Whatever a byte of the header becomes, the file is read or refused; nothing else happens.
TEST_F(Damaged, RandomBytes) {
  RandomStream random(1);
  uint64_t header = 0;
  std::memcpy(&header, whole_.data(), sizeof header);
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    io::Bytes bytes = whole_;
    for (int n = 0; n < 1 + i % 3; ++n) {
      auto at = static_cast<size_t>(static_cast<double>(random.uniform()) *
                                    static_cast<double>(header + 8));
      bytes[at] = static_cast<uint8_t>(random.uniform() * 256);
    }
    io::write_file_atomic(path(), bytes);
    try {
      models::SavedModel loaded = models::load_model(path());
      models::Predictor(loaded.model).run(some_input(cases()[0].about, 1));
    } catch (const UserError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
  for (size_t size = 0; size < whole_.size(); size += 97) {
    io::write_file_atomic(path(), io::ByteView(whole_.data(), size));
    EXPECT_THROW(models::load_model(path()), UserError) << size;
  }
}
}  // namespace
