// Every op written as ONNX and read back: our importer, which the standard's own tests pin down,
// must give what the graph gives.
#include <fstream>
#include <sstream>

#include "tests/op/onnx_files.h"
#include "tests/op/run.h"
#include "wafer/deploy/onnx/onnx.h"
#include "wafer/op/op.h"

namespace wafer::op_tests {
namespace {

std::vector<std::string> exported_names() {
  std::vector<std::string> names;
  for (const onnx::ExportedOp& each : onnx::exported_ops()) names.push_back(each.op);
  return names;
}

class Export : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  }
};

bool is_random(const std::string& op) {
  return op == "random_uniform" || op == "random_normal";
}

void round_trip(const OpCase& c, DType dtype, int64_t opset) {
  std::vector<Tensor> inputs = random_inputs(c, dtype, run_seed());
  Graph graph = graph_of(c.build, inputs);
  std::vector<Tensor> expected = run_on(*device("reference"), graph, inputs);
  onnx::Session session(read_back(graph, opset));
  std::vector<onnx::Value> values(inputs.begin(), inputs.end());
  auto outputs = session.run(values, device("cpu"));
  ASSERT_EQ(outputs.values.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    // A formula of several of ONNX's operators rounds more often.
    double tolerance = std::max(16.0, 4 * c.tolerance);
    EXPECT_TRUE(close(outputs.values[i].tensor, expected[i], tolerance, c.of_largest, c.magnitude))
        << "output " << i;
  }
}

TEST_P(Export, RoundTrips) {
  if (is_random(GetParam())) GTEST_SKIP() << "ONNX has no such random numbers";
  for (const OpCase& c : all_cases()) {
    if (c.op != GetParam()) continue;
    for (DType dtype : c.dtypes) {
      for (int64_t opset : {17, 27}) {
        SCOPED_TRACE(str(c.op, " '", c.name, "' of ", dtype, " at operator set ", opset, ", seed ",
                         run_seed(), " (--gtest_random_seed=", run_seed(), " repeats it)"));
        try {
          round_trip(c, dtype, opset);
        } catch (const std::exception& error) {
          ADD_FAILURE() << error.what();
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Export, testing::ValuesIn(exported_names()),
                         [](const auto& info) { return info.param; });

TEST(ExportedOps, AreAllButTheRandomOnes) {
  for (const onnx::ExportedOp& each : onnx::exported_ops())
    EXPECT_EQ(each.how == "ONNX cannot say it", is_random(each.op)) << each.op << ": " << each.how;
}

TEST(ExportedOps, AreWhatTheDocumentShows) {
  std::ifstream file(std::string(WAFER_SOURCE_DIR) + "/docs/onnx-export.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find("|---|---|\n" + export_table() + "\n"), std::string::npos)
      << "the table of docs/onnx-export.md is stale: test_op --write-export prints it";
}

TEST(ExportedOps, RandomNumbersAreAnErrorThatSaysWhy) {
  for (const OpCase& c : all_cases()) {
    if (!is_random(c.op)) continue;
    std::vector<Tensor> inputs = random_inputs(c, DType::f32, 1);
    try {
      read_back(graph_of(c.build, inputs), 27);
      FAIL() << c.op;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(c.op), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("ONNX operator set 27"), std::string::npos)
          << error.what();
    }
    return;
  }
}

}  // namespace
}  // namespace wafer::op_tests
