#include "tests/e2e/kill.h"

namespace wafer {
namespace {

TEST(Kill, FiveKillsChangeNothing) {
  testing::TemporaryFolder folder;
  testing::write_text(folder / "table.csv", testing::small_table(300));
  testing::expect_kills_change_nothing(
      folder.path(),
      {"mlp", "--data", "table.csv", "--epochs", "12", "--batch-size", "8", "--seed", "3",
       "--checkpoint-steps", "5", "--schedule", "plateau", "--validation", "0.2", "-o",
       "hidden=32"},
      5, 1);
}

TEST(Kill, CtrlCEndsACommandThatSavesNothing) {
  testing::TemporaryFolder folder;
  testing::Program bench(folder.path(), {"bench", "mlp", "--seconds", "30"});
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  bench.signal(SIGINT);
  testing::Ran ran = bench.wait();
  EXPECT_EQ(ran.signal, SIGINT);
  EXPECT_LT(ran.seconds, 20);
}

TEST(Kill, SameSeedSameSavedWeights) {
  testing::TemporaryFolder folder;
  testing::write_text(folder / "table.csv", testing::small_table(100));
  auto model = [&](const std::string& run, const std::string& seed) {
    testing::Ran ran = testing::run_wafer(
        folder.path(),
        {"train", "mlp", "--data", "table.csv", "--epochs", "2", "--seed", seed, "--run", run});
    EXPECT_EQ(ran.code, 0) << ran.err;
    return io::read_file(folder / run / "model.safetensors", 1 << 30);
  };
  auto first = model("a", "7");
  EXPECT_EQ(first, model("b", "7"));
  EXPECT_NE(first, model("c", "8"));
}

}  // namespace
}  // namespace wafer
