#pragma once
#include <iostream>
#include <random>

#include "tests/cli/program.h"
#include "wafer/io/safetensors.h"
#include "wafer/train/checkpoint.h"

namespace wafer::testing {

// Trains once undisturbed, and then again and again, killed (SIGKILL) at random moments and resumed
// each time, until `kills` runs were killed. Every time that it comes to an end, the saved model
// must be the undisturbed one's to the byte, and it begins anew; every checkpoint must be readable
// at any time. `train`: the arguments of `wafer train` less --run.
inline void expect_kills_change_nothing(const std::filesystem::path& folder,
                                        const std::vector<std::string>& train, int kills,
                                        uint32_t seed) {
  namespace fs = std::filesystem;
  auto in_run = [&](const std::string& run, bool resume) {
    std::vector<std::string> arguments = {"train"};
    arguments.insert(arguments.end(), train.begin(), train.end());
    arguments.insert(arguments.end(), {"--run", run});
    if (resume) arguments.push_back("--resume");
    return arguments;
  };
  Ran whole = run_wafer(folder, in_run("whole", false));
  ASSERT_EQ(whole.code, 0) << whole.err;
  auto read = [&](const char* run) {
    return io::read_file(folder / run / "model.safetensors", 1 << 30);
  };
  auto lines = [&](const char* run) {
    std::string text = io::read_text_file(folder / run / "metrics.csv", 1 << 20);
    return std::count(text.begin(), text.end(), '\n');
  };
  auto expect_the_same = [&] {
    EXPECT_EQ(read("killed"), read("whole"));
    EXPECT_EQ(lines("killed"), lines("whole")) << "each epoch has one row";
    for (const auto& entry : fs::directory_iterator(folder / "killed" / "checkpoints")) {
      EXPECT_TRUE(entry.path().filename().string().starts_with("step-"))
          << "left behind: " << entry.path();
    }
  };
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> moment(0, whole.seconds);
  int killed = 0, ended = 0;
  while (killed < kills && !::testing::Test::HasFailure()) {
    Program program(folder, in_run("killed", true));
    std::this_thread::sleep_for(std::chrono::duration<double>(moment(random)));
    program.signal(SIGKILL);
    Ran ran = program.wait();
    EXPECT_TRUE(ran.signal == SIGKILL || ran.code == 0) << ran.err;
    EXPECT_EQ(ran.err.find("trying the checkpoint before it"), std::string::npos) << ran.err;
    for (const auto& path : CheckpointFolder(folder / "killed" / "checkpoints").list()) {
      EXPECT_NO_THROW(io::SafetensorsFile file(path)) << path;
    }
    killed += ran.signal == SIGKILL;
    if (ran.signal == SIGKILL) continue;
    expect_the_same();
    fs::remove_all(folder / "killed");
    ASSERT_LT(++ended, 3 * kills + 10) << "runs end before they can be killed";
  }
  Ran last = run_wafer(folder, in_run("killed", true));
  ASSERT_EQ(last.code, 0) << last.err;
  expect_the_same();
  std::cout << killed << " runs killed; " << ended + 1 << " came to their end\n";
}

}  // namespace wafer::testing
