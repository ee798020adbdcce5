#pragma once
#include <random>

#include "tests/cli/program.h"
#include "wafer/io/safetensors.h"
#include "wafer/train/checkpoint.h"

namespace wafer::testing {

// Trains once undisturbed and once killed (SIGKILL) at `kills` random moments and resumed each
// time; the saved models must be equal to the byte and every checkpoint readable at any time.
// `train`: the arguments of `wafer train` less --run.
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
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> moment(0, 0.9 * whole.seconds);
  int killed = 0;
  for (int i = 0; i < kills; ++i) {
    Program program(folder, in_run("killed", true));
    // A run that was begun anew takes as long as the whole, one that goes on less: so kills fall
    // everywhere.
    double share = static_cast<double>(kills - i) / kills;
    std::this_thread::sleep_for(
        std::chrono::duration<double>(moment(random) * std::max(share, 0.3)));
    program.signal(SIGKILL);
    Ran ran = program.wait();
    killed += ran.signal == SIGKILL;
    EXPECT_TRUE(ran.signal == SIGKILL || ran.code == 0) << ran.err;
    EXPECT_EQ(ran.err.find("trying the checkpoint before it"), std::string::npos) << ran.err;
    for (const auto& path : CheckpointFolder(folder / "killed" / "checkpoints").list()) {
      EXPECT_NO_THROW(io::SafetensorsFile file(path)) << path;
    }
  }
  EXPECT_GE(killed, 1) << "no run was cut short, so this proved nothing";
  Ran last = run_wafer(folder, in_run("killed", true));
  ASSERT_EQ(last.code, 0) << last.err;
  auto read = [&](const char* run) {
    return io::read_file(folder / run / "model.safetensors", 1 << 30);
  };
  EXPECT_EQ(read("killed"), read("whole"));
  auto lines = [&](const char* run) {
    std::string text = io::read_text_file(folder / run / "metrics.csv", 1 << 20);
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines("killed"), lines("whole")) << "each epoch has one row";
  for (const auto& entry : fs::directory_iterator(folder / "killed" / "checkpoints")) {
    EXPECT_TRUE(entry.path().filename().string().starts_with("step-"))
        << "left behind: " << entry.path();
  }
}

}  // namespace wafer::testing
