// From weights to a model that trains further: wafer import, wafer train --from.
#include "tests/cli/program.h"
#include "tests/deploy/onnx_bytes.h"
#include "tests/text.h"
#include "wafer/deploy/onnx/onnx.h"
#include "wafer/io/file.h"
#include "wafer/io/image.h"
#include "wafer/models/saved_model.h"

namespace wafer {
namespace {
using namespace testing;
using tests::contains;

TEST(CliFineTune, GoesOnFromARunAndResumes) {
  TemporaryFolder folder;
  write_text(folder / "table.csv", small_table(120));
  auto train = [&](std::vector<std::string> more) {
    std::vector<std::string> words{"train", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return run_wafer(folder.path(), words);
  };
  Ran first =
      train({"mlp", "-o", "hidden=8", "--data", "table.csv", "--epochs", "2", "--run", "a"});
  ASSERT_EQ(first.code, 0) << first.err;
  Ran second = train({"--from", "a", "--data", "table.csv", "--epochs", "1", "--run", "b"});
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_TRUE(contains(second.err, "going on from a")) << second.err;
  EXPECT_LT(second.json()["train"]["loss"], first.json()["train"]["loss"]);
  Ran third = train({"--resume", "--run", "b", "--epochs", "2"});
  ASSERT_EQ(third.code, 0) << third.err;
  Ran eval = run_wafer(folder.path(), {"eval", "b", "--json"});
  EXPECT_EQ(eval.code, 0) << eval.err;
  Ran other = train({"--resume", "--run", "b", "--from", "elsewhere"});
  EXPECT_EQ(other.code, 2);
  EXPECT_TRUE(contains(other.err, "[--from]") && contains(other.err, "another value")) << other.err;
  Ran both = train({"mlp", "--from", "a", "--data", "table.csv"});
  EXPECT_EQ(both.code, 2);
  EXPECT_TRUE(contains(both.err, "leave out 'mlp'")) << both.err;
  Ran eval_file =
      run_wafer(folder.path(), {"eval", "b/model.safetensors", "--data", "table.csv", "--json"});
  EXPECT_EQ(eval_file.code, 0) << eval_file.err;
  Ran bench = run_wafer(folder.path(), {"bench", "b/model.safetensors", "--seconds", "0.02"});
  EXPECT_EQ(bench.code, 0) << bench.err;
}

TEST(CliFineTune, TrainsAnOnnxFile) {
  if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  TemporaryFolder folder;
  write_text(folder / "table.csv", small_table(120));
  GraphParts parts;
  parts.nodes = {node_message("MatMul", {"x", "w"}, {"h"}), node_message("Tanh", {"h"}, {"t"}),
                 node_message("MatMul", {"t", "v"}, {"y"})};
  parts.initializers = {tensor_message("w", {2, 3}, {1, -1, 0.5, 1, 1, -0.5}),
                        tensor_message("v", {3, 4}, std::vector<float>(12, 0.1F))};
  parts.inputs = {info_message("x", {-1, 2})};
  parts.outputs = {info_message("y", {-1, 4})};
  write_text(folder / "net.onnx", model_bytes(graph_message(parts)));
  Ran ran = run_wafer(folder.path(), {"train", "--from", "net.onnx", "--data", "table.csv",
                                      "--epochs", "30", "--lr", "0.03", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(contains(ran.err, "4 outputs, is replaced by a new one: linear, 3 -> 2")) << ran.err;
  EXPECT_TRUE(std::filesystem::exists(folder / "runs/net-table-1/model.safetensors"));
  EXPECT_LT(ran.json()["train"]["loss"], 0.3);
}

// Images of several sizes in a folder for each class, which differ in their brightest channel.
void draw_photos(const std::filesystem::path& folder, const std::vector<std::string>& classes) {
  unsigned state = 1;
  auto next = [&] { return (state = state * 1664525u + 1013904223u) >> 24; };
  for (size_t c = 0; c < classes.size(); ++c) {
    for (int i = 0; i < 20; ++i) {
      int width = 12 + i % 5, height = 20 - i % 3;
      io::Image image{width, height, 3, io::Bytes(static_cast<size_t>(width * height * 3))};
      for (size_t k = 0; k < image.pixels.size(); ++k)
        image.pixels[k] = static_cast<uint8_t>(next() / 2 + (k % 3 == c ? 30 : 0));
      std::filesystem::create_directories(folder / classes[c]);
      io::write_file_atomic(folder / classes[c] / (std::to_string(i) + ".png"),
                            io::encode_png(image));
    }
  }
}

TEST(CliFineTune, GoesOnFromAnExportedModelOnAFolderOfImages) {
  if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  TemporaryFolder folder;
  draw_photos(folder / "photos", {"blue", "green"});
  write_text(folder / "net.toml",
             "name = \"small\"\n[[layer]]\ntype = \"conv2d\"\nout = 4\nkernel = 3\n[[layer]]\n"
             "type = \"batch_norm\"\n[[layer]]\ntype = \"relu\"\n[[layer]]\n"
             "type = \"adaptive_avg_pool2d\"\nsize = 1\n[[layer]]\ntype = \"flatten\"\n"
             "[[layer]]\ntype = \"linear\"\n");
  auto train = [&](std::vector<std::string> more) {
    std::vector<std::string> words{"train", "--json", "--batch-size", "8", "--data"};
    words.insert(words.end(), more.begin(), more.end());
    return run_wafer(folder.path(), words);
  };
  Ran unsized = train({"photos", "net.toml"});
  EXPECT_EQ(unsized.code, 2);
  EXPECT_TRUE(contains(unsized.err, "--image-size")) << unsized.err;
  Ran first = train({"photos", "net.toml", "--image-size", "16x16", "--epochs", "3", "--lr", "1e-2",
                     "--run", "a"});
  ASSERT_EQ(first.code, 0) << first.err;
  double loss = first.json()["test"]["loss"];
  Ran exported = run_wafer(folder.path(), {"export", "a", "--onnx", "a.onnx"});
  ASSERT_EQ(exported.code, 0) << exported.err;

  // Steps too small to change a weight: the loss is the one that the first run ended with.
  Ran same = train({"photos", "--from", "a.onnx", "--epochs", "1", "--lr", "1e-20", "--run", "b"});
  ASSERT_EQ(same.code, 0) << same.err;
  EXPECT_NEAR(same.json()["test"]["loss"].get<double>(), loss, 1e-5);
  Ran further =
      train({"photos", "--from", "a.onnx", "--epochs", "5", "--lr", "1e-2", "--run", "c"});
  ASSERT_EQ(further.code, 0) << further.err;
  EXPECT_LT(further.json()["test"]["loss"].get<double>(), loss);
  Ran eval = run_wafer(folder.path(), {"eval", "c", "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  Ran eval_file =
      run_wafer(folder.path(), {"eval", "a/model.safetensors", "--data", "photos", "--json"});
  EXPECT_EQ(eval_file.code, 0) << eval_file.err;

  draw_photos(folder / "more", {"blue", "green", "red"});
  for (std::string from : {"a.onnx", "a"}) {
    Ran other = train({"more", "--from", from, "--epochs", "1"});
    ASSERT_EQ(other.code, 0) << other.err;
    EXPECT_TRUE(contains(other.err, "is replaced by a new one")) << other.err;
  }
  Ran wrong = train({"photos", "--from", "a.onnx", "--image-size", "20x20"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_TRUE(contains(wrong.err, "does not fit the data")) << wrong.err;
  Ran size = train({"photos", "net.toml", "--image-size", "16x0"});
  EXPECT_EQ(size.code, 2);
  EXPECT_TRUE(contains(size.err, "HEIGHTxWIDTH")) << size.err;
}

TEST(CliImport, MakesAModelThatInfers) {
  TemporaryFolder folder;
  // A saved model's weights are as good as any under these names.
  models::Options options{{"conv1", "2"}, {"conv2", "2"}, {"hidden", "4"}};
  data::InputSpec input;
  input.description.shape = {3, 32, 32};
  for (int i = 0; i < 10; ++i) input.description.classes.push_back(std::to_string(i));
  models::save_model(folder / "w.safetensors", models::create("cnn", options), input);
  write_text(folder / "classes.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  std::vector<std::string> words{"import",  "--from", "w.safetensors", "--model", "cnn",     "-o",
                                 "conv1=2", "-o",     "conv2=2",       "-o",      "hidden=4"};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), words.begin(), words.end());
    return run_wafer(folder.path(), more);
  };
  Ran made = with({"--classes", "classes.txt", "--output", "m.safetensors", "--mean", "0.5,0.5,0.5",
                   "--std", "0.25,0.25,0.25"});
  ASSERT_EQ(made.code, 0) << made.err;
  io::Image image{32, 32, 3, io::Bytes(32 * 32 * 3, 90)};
  io::write_file_atomic(folder / "x.png", io::encode_png(image));
  Ran infer = run_wafer(folder.path(), {"infer", "m.safetensors", "x.png", "--json"});
  ASSERT_EQ(infer.code, 0) << infer.err;
  EXPECT_EQ(infer.json()["results"][0]["top"].size(), 5);

  write_text(folder / "nine.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\n");
  Ran mean = with({"--mean", "0.5"});
  EXPECT_EQ(mean.code, 2);
  EXPECT_TRUE(contains(mean.err, "--std")) << mean.err;
  Ran classes = with({"--classes", "nine.txt"});
  EXPECT_EQ(classes.code, 2);
  EXPECT_TRUE(contains(classes.err, "the model has 10 outputs")) << classes.err;
  Ran wider = with({"-o", "hidden=5"});
  EXPECT_EQ(wider.code, 2);
  EXPECT_TRUE(contains(wider.err, "misshapen:")) << wider.err;
  write_text(folder / "w.pth", std::string("PK\3\4"));
  Ran pickle = run_wafer(folder.path(), {"import", "--from", "w.pth", "--model", "cnn"});
  EXPECT_EQ(pickle.code, 2);
  EXPECT_TRUE(contains(pickle.err, "python3 -c")) << pickle.err;
}
}  // namespace
}  // namespace wafer
