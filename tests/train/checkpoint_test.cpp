#include "wafer/train/checkpoint.h"
#include "wafer/io/safetensors.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "tests/io/helpers.h"
#include "tests/train/helpers.h"
#include "wafer/train/trainer.h"

namespace wafer {
namespace {
namespace fs = std::filesystem;
using testing::blobs;
using testing::Mlp;
using testing::TemporaryFolder;
using testing::weights;

constexpr int64_t epochs = 4;

FitOptions options_in(const fs::path& run) {
  FitOptions options;
  options.epochs = epochs;
  options.batch_size = 16;
  options.progress = false;
  options.seed = 5;
  options.run = run;
  options.checkpoint_steps = 3;
  options.schedule = optim::plateau_schedule(0.5, 1);
  return options;
}

std::vector<float> train(const FitOptions& options) {
  Mlp model(1);
  Trainer trainer(model, nn::cross_entropy, optim::Adam{{.lr = 1e-2}});
  trainer.fit(blobs(100), blobs(30, 1), options);  // 7 steps an epoch
  return weights(model);
}

// Stops a run after so many steps, as Ctrl-C does.
class StopAfter : public optim::Schedule {
 public:
  StopAfter(std::shared_ptr<optim::Schedule> schedule, int64_t steps, std::atomic<bool>& stop)
      : schedule_(std::move(schedule)), steps_(steps), stop_(stop) {}
  std::string text() const override { return schedule_->text(); }
  bool spans_run() const override { return schedule_->spans_run(); }
  double learning_rate(double base, const optim::SchedulePoint& point) const override {
    if (point.step + 1 >= steps_) stop_ = true;
    return schedule_->learning_rate(base, point);
  }
  void epoch_end(double loss) override { schedule_->epoch_end(loss); }
  std::vector<double> state() const override { return schedule_->state(); }
  void restore(const std::vector<double>& state) override { schedule_->restore(state); }

 private:
  std::shared_ptr<optim::Schedule> schedule_;
  int64_t steps_;
  std::atomic<bool>& stop_;
};

std::string read(const fs::path& path) {
  return io::read_text_file(path, 1 << 20);
}

// The columns that do not depend on the clock.
std::vector<std::string> rows(const fs::path& csv) {
  std::vector<std::string> result;
  std::ifstream file(csv);
  for (std::string line; std::getline(file, line);) {
    size_t end = 0;
    for (int column = 0; column < 6 && end != line.npos; ++column) end = line.find(',', end + 1);
    result.push_back(line.substr(0, end));
  }
  return result;
}

TEST(Checkpoint, ResumedRunsEndTheSame) {
  TemporaryFolder folder;
  auto expected = train(options_in(folder / "whole"));
  for (int64_t steps : {1, 3, 7, 10, 20, 27}) {
    fs::path run = folder / ("stopped-" + std::to_string(steps));
    std::atomic<bool> stop = false;
    FitOptions options = options_in(run);
    options.stop = &stop;
    options.schedule = std::make_shared<StopAfter>(options.schedule, steps, stop);
    train(options);
    ASSERT_TRUE(stop);
    options = options_in(run);
    options.resume = true;
    EXPECT_EQ(train(options), expected) << "stopped after step " << steps;
    EXPECT_EQ(rows(run / "metrics.csv"), rows(folder / "whole" / "metrics.csv"));
  }
  EXPECT_EQ(rows(folder / "whole" / "metrics.csv").size(), 1u + epochs);
}

TEST(Checkpoint, AFinishedRunStaysAsItIs) {
  TemporaryFolder folder;
  auto expected = train(options_in(folder / "run"));
  std::string log = read(folder / "run" / "metrics.csv");
  FitOptions options = options_in(folder / "run");
  options.resume = true;
  EXPECT_EQ(train(options), expected);
  EXPECT_EQ(read(folder / "run" / "metrics.csv"), log);
}

TEST(Checkpoint, ANewRunDoesNotWriteOverAnOldOne) {
  TemporaryFolder folder;
  train(options_in(folder / "run"));
  try {
    train(options_in(folder / "run"));
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("earlier run"), std::string::npos) << error.what();
  }
}

// The tensors of a checkpoint: its metadata also holds times, which differ from run to run.
std::map<std::string, std::vector<uint8_t>> tensor_bytes(const std::filesystem::path& path) {
  io::SafetensorsFile file(path);
  std::map<std::string, std::vector<uint8_t>> result;
  for (const auto& entry : file.entries()) {
    result[entry.name].assign(entry.bytes.begin(), entry.bytes.end());
  }
  return result;
}

TEST(Checkpoint, ADamagedOneIsReplacedByTheOneBefore) {
  TemporaryFolder folder;
  auto expected = train(options_in(folder / "run"));
  CheckpointFolder checkpoints(folder / "run" / "checkpoints");
  auto paths = checkpoints.list();
  ASSERT_EQ(paths.size(), 2u);
  std::string whole = read(paths[0]);
  auto tensors = tensor_bytes(paths[0]);
  FitOptions options = options_in(folder / "run");
  options.resume = true;
  // Cut in the middle, empty, another byte in the header, another bit in a tensor.
  std::string flipped = whole, bit = whole;
  flipped[9] = '\x01';
  bit.back() = static_cast<char>(bit.back() ^ 1);
  for (const std::string& damaged :
       {whole.substr(0, whole.size() / 2), std::string(), flipped, bit}) {
    std::ofstream(paths[0], std::ios::binary | std::ios::trunc) << damaged;
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(train(options), expected);
    std::string warning = ::testing::internal::GetCapturedStderr();
    EXPECT_NE(warning.find(paths[0].filename().string()), std::string::npos) << warning;
    EXPECT_NE(warning.find("trying the checkpoint before it"), std::string::npos) << warning;
    // The run went on from the older one and wrote the newest again.
    EXPECT_EQ(tensor_bytes(paths[0]), tensors);
  }
  for (const auto& path : paths) std::ofstream(path, std::ios::trunc) << "no";
  EXPECT_THROW(train(options), UserError);
}

TEST(Checkpoint, OtherSettingsAreRefused) {
  TemporaryFolder folder;
  train(options_in(folder / "run"));
  auto expect_refused = [&](const std::vector<std::string>& parts, auto&& change) {
    FitOptions options = options_in(folder / "run");
    options.resume = true;
    change(options);
    testing::expect_user_error([&] { train(options); }, parts);
  };
  expect_refused({"another seed", "got 6"}, [](FitOptions& o) { o.seed = 6; });
  expect_refused({"another clip_norm", "got 2", "none"}, [](FitOptions& o) { o.clip_norm = 2; });
  expect_refused({"another augmentation", "cutout=3"}, [](FitOptions& o) {
    o.augmentation.emplace();
    o.augmentation->cutout = 3;
  });
  expect_refused({"another schedule", "cosine", "over 9 epochs"}, [](FitOptions& o) {
    o.schedule = optim::cosine_schedule();
    o.epochs = 9;
  });
}

TEST(Checkpoint, AFullDiskKeepsTheEarlierOnes) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere; tests/error has the full disk";
  TemporaryFolder folder;
  train(options_in(folder / "run"));
  auto before = CheckpointFolder(folder / "run" / "checkpoints").list();
  fs::permissions(folder / "run" / "checkpoints", fs::perms::owner_read | fs::perms::owner_exec);
  Progression progression;
  progression.step = 1000;
  EXPECT_THROW(CheckpointFolder(folder / "run" / "checkpoints").save(progression, {}, {}),
               UserError);
  EXPECT_EQ(CheckpointFolder(folder / "run" / "checkpoints").list(), before);
  fs::permissions(folder / "run" / "checkpoints", fs::perms::owner_all);
}

}  // namespace
}  // namespace wafer
