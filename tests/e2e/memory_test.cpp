#include "tests/cli/program.h"

namespace wafer {
namespace {

// Growth of the peak resident memory from before compiling to the end of epoch 1, against the plan.
void expect_plan_is_right(const std::vector<std::string>& model, const std::string& data,
                          const std::map<std::string, std::string>& environment = {}) {
  testing::TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 4000; ++i)
    text += "the quick brown fox " + std::to_string(i * 7919 % 1000) + "\n";
  testing::write_text(folder / "text.txt", text);
  std::vector<std::string> arguments = {"train"};
  arguments.insert(arguments.end(), model.begin(), model.end());
  arguments.insert(arguments.end(), {"--data", data, "--epochs", "1", "--run", "run", "--json"});
  testing::Ran ran = testing::run_wafer(folder.path(), arguments, environment);
  ASSERT_EQ(ran.code, 0) << ran.err;
  auto json = ran.json();
  double planned = json.at("planned_memory_bytes").get<double>();
  double measured = json.at("measured_memory_bytes").get<double>();
#ifdef WAFER_COVERAGE
  GTEST_SKIP() << "code that counts its lines takes memory that no plan knows of";
#endif
  EXPECT_NEAR(measured, planned, 0.05 * planned + (8 << 20)) << ran.err;
}

TEST(MemoryPlan, Mlp) {
  expect_plan_is_right({"mlp", "--batch-size", "256"}, "shapes");
}
// The last batch is half as large as the others.
TEST(MemoryPlan, MlpInLargeBatches) {
  expect_plan_is_right({"mlp", "--batch-size", "1024"}, "shapes");
}
// oneDNN's GEMM of CPUs without AVX-512 allocates in each call.
TEST(MemoryPlan, MlpWithoutAvx512) {
  expect_plan_is_right({"mlp", "--batch-size", "256"}, "shapes",
                       {{"ONEDNN_MAX_CPU_ISA", "AVX2"}, {"WAFER_ISA", "avx2"}});
}
TEST(MemoryPlan, LstmWithoutAvx512) {
  expect_plan_is_right({"lstm", "--sequence-length", "64", "--batch-size", "32"}, "text.txt",
                       {{"ONEDNN_MAX_CPU_ISA", "AVX2"}, {"WAFER_ISA", "avx2"}});
}
// A weight of 24 MiB: what is copied on its way must not stay.
TEST(MemoryPlan, WideMlp) {
  expect_plan_is_right({"mlp", "--batch-size", "256", "-o", "hidden=2048"}, "shapes");
}
TEST(MemoryPlan, Cnn) {
  expect_plan_is_right({"cnn"}, "shapes");
}
TEST(MemoryPlan, Gru) {
  expect_plan_is_right({"gru", "--sequence-length", "64", "--batch-size", "32"}, "text.txt");
}
TEST(MemoryPlan, Lstm) {
  expect_plan_is_right({"lstm", "--sequence-length", "64", "--batch-size", "32"}, "text.txt");
}
TEST(MemoryPlan, Transformer) {
  expect_plan_is_right({"transformer", "--sequence-length", "64", "--batch-size", "32"},
                       "text.txt");
}

}  // namespace
}  // namespace wafer
