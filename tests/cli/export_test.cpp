#include "tests/cli/program.h"
#include "wafer/deploy/onnx/onnx.h"

namespace wafer {
namespace {
using namespace testing;

TEST(CliExport, WritesOnnxAndWeights) {
  if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  TemporaryFolder folder;
  Ran done = run_wafer(folder.path(), {"export", "mlp", "-o", "hidden=8", "--onnx", "m.onnx",
                                       "--opset", "17", "--weights", "w.safetensors", "--json"});
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(done.json()["onnx"]["file"], "m.onnx");
  EXPECT_EQ(done.json()["onnx"]["bytes"], std::filesystem::file_size(folder.path() / "m.onnx"));
  EXPECT_GT(std::filesystem::file_size(folder.path() / "w.safetensors"), 100u);
  Ran check = run_wafer(folder.path(), {"check", "m.onnx", "--json"});
  ASSERT_EQ(check.code, 0) << check.err;
  EXPECT_TRUE(check.json()["one_graph"]);
  EXPECT_EQ(check.json()["parameters"], done.json()["parameters"]);
  EXPECT_NE(check.out.find("operator set 17"), check.out.npos) << check.out;
  Ran beside = run_wafer(folder.path(), {"export", "mlp", "-o", "hidden=64", "--onnx", "n.onnx",
                                         "--external-data", "--json"});
  ASSERT_EQ(beside.code, 0) << beside.err;
  for (std::string file : {"n.onnx", "n.onnx.data"})
    EXPECT_NE(beside.out.find("wrote " + file + " ("), beside.out.npos) << beside.out;
  EXPECT_GT(beside.json()["external_data"]["bytes"], beside.json()["onnx"]["bytes"]);
  EXPECT_FALSE(done.json().contains("external_data"));
}

TEST(CliExport, SaysWhatIsWrong) {
  TemporaryFolder folder;
  struct Case {
    std::vector<std::string> arguments;
    std::string says;
  };
  const Case cases[] = {
      {{"export", "mlp"}, "--onnx FILE.onnx"},
      {{"export", "mlp", "--onnx", "m.pb"}, "ends with .onnx"},
      {{"export", "mlp", "--weights", "w.bin"}, "ends with .safetensors"},
      {{"export", "m.onnx", "--onnx", "n.onnx"}, "an ONNX file already"},
      {{"export", "mpl", "--onnx", "m.onnx"}, "did you mean 'mlp'"},
      {{"export", "none.safetensors", "--onnx", "m.onnx"}, "none.safetensors"},
      {{"export", "mlp", "--onnx", "m.onnx", "--opset", "5"}, "17 to 27"},
      {{"export", "mlp", "--weights", "w.safetensors", "--opset", "17"}, "--opset"},
  };
  for (const Case& each : cases) {
    if (each.says == "17 to 27" && !onnx::available()) continue;
    Ran ran = run_wafer(folder.path(), each.arguments);
    EXPECT_EQ(ran.code, 2) << each.says;
    EXPECT_NE(ran.err.find(each.says), ran.err.npos) << ran.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "m.onnx"));
}
}  // namespace
}  // namespace wafer
