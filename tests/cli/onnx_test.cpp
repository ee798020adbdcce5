#include "wafer/deploy/onnx/onnx.h"
#include "tests/cli/program.h"
#include "tests/deploy/onnx_bytes.h"
#include "wafer/io/npy.h"

namespace wafer {
namespace {
using namespace testing;

// y = x + w, of [n, 2].
std::string model() {
  GraphParts parts;
  parts.nodes = {node_message("Add", {"x", "w"}, {"y"})};
  parts.initializers = {tensor_message("w", {2}, {10, 20})};
  parts.inputs = {info_message("x", {-1, 2})};
  parts.outputs = {info_message("y", {-1, 2})};
  return model_bytes(graph_message(parts));
}

TEST(CliOnnx, ChecksInfersAndBenchesAFile) {
  if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  TemporaryFolder folder;
  write_text(folder.path() / "add.onnx", model());
  Ran check = run_wafer(folder.path(), {"check", "add.onnx", "--json"});
  ASSERT_EQ(check.code, 0) << check.err;
  EXPECT_TRUE(check.json()["one_graph"]);
  EXPECT_EQ(check.json()["parameters"], 2);

  std::vector<float> x = {1, 2, 3, 4};
  auto* bytes = reinterpret_cast<const uint8_t*>(x.data());
  io::write_npy(folder.path() / "x.npy", "<f4", {2, 2}, {bytes, 16});
  Ran infer = run_wafer(folder.path(), {"infer", "add.onnx", "x=x.npy", "--output", "out"});
  ASSERT_EQ(infer.code, 0) << infer.err;
  io::NpyArray y = io::read_npy(folder.path() / "out/y.npy");
  EXPECT_EQ(y.shape, (std::vector<int64_t>{2, 2}));
  std::vector<float> values(4);
  std::memcpy(values.data(), y.bytes.data(), 16);
  EXPECT_EQ(values, (std::vector<float>{11, 22, 13, 24}));

  io::Bytes array = io::read_file(folder.path() / "x.npy");
  io::write_file_atomic(folder.path() / "named.npz", zip({{"x.npy", array}}));
  Ran named = run_wafer(folder.path(), {"infer", "add.onnx", "named.npz", "--output", "named"});
  ASSERT_EQ(named.code, 0) << named.err;
  EXPECT_EQ(io::read_npy(folder.path() / "named/y.npy").bytes, y.bytes);
  io::write_file_atomic(folder.path() / "more.npz", zip({{"x.npy", array}, {"X.npy", array}}));
  io::write_file_atomic(folder.path() / "less.npz", zip({{"z.npy", array}}));
  for (const auto& [file, why] :
       {std::pair{"more.npz", "no input is called 'X'; did you mean 'x'?"},
        std::pair{"less.npz", "has no array 'x'"},
        std::pair{"x=named.npz", "an .npz holds all inputs under their names"}}) {
    Ran refused = run_wafer(folder.path(), {"infer", "add.onnx", file});
    EXPECT_EQ(refused.code, 2) << file;
    EXPECT_NE(refused.err.find(why), refused.err.npos) << refused.err;
  }

  Ran bench = run_wafer(folder.path(),
                        {"bench", "add.onnx", "--seconds", "0.05", "--batch-size", "4", "--json"});
  ASSERT_EQ(bench.code, 0) << bench.err;
  EXPECT_EQ(bench.json()["mode"], "infer");

  Ran none = run_wafer(folder.path(), {"infer", "add.onnx"});
  EXPECT_EQ(none.code, 2);
  EXPECT_NE(none.err.find("expected x FLOAT[nx2]"), none.err.npos) << none.err;

  for (const std::vector<std::string>& option :
       {std::vector<std::string>{"--precision", "bf16"}, {"--top", "2"}, {"--prompt", "a"}}) {
    std::vector<std::string> line = {"infer", "add.onnx", "x=x.npy"};
    line.insert(line.end(), option.begin(), option.end());
    Ran refused = run_wafer(folder.path(), line);
    EXPECT_EQ(refused.code, 2) << option[0];
    EXPECT_NE(refused.err.find("[" + option[0] + "]"), refused.err.npos) << refused.err;
    EXPECT_NE(refused.err.find("ONNX"), refused.err.npos) << refused.err;
  }
}
}  // namespace
}  // namespace wafer
