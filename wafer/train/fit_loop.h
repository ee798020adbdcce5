#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wafer/io/file.h"
#include "wafer/train/checkpoint.h"
#include "wafer/train/loggers.h"
#include "wafer/train/trainer.h"

namespace wafer {

// One call of Trainer::fit.
class FitLoop {
 public:
  FitLoop(Trainer& trainer, const data::Dataset& train, const data::Dataset& validation,
          const FitOptions& options);
  FitResult run();

 private:
  using Clock = std::chrono::steady_clock;
  struct BatchResult {
    float loss = 0;
    int64_t correct = 0;
    bool finite = true;  // loss and gradients
  };

  void prepare();
  void choose_precision();
  std::optional<Precision> kept_precision() const;
  void compare_precisions(const std::function<void(Precision, const std::string&)>& choose);
  void plan_trial();
  struct Trial {
    std::vector<float> losses;  // of each step that changed the weights
    double seconds = 0;         // of the fastest step but the first
  };
  Trial try_precision(Precision precision, const data::Batch& batch);
  // Optimiser state of one number ("updates").
  std::optional<float> state_number(const std::string& name) const;
  void resume();
  bool run_epoch();  // false: stop
  BatchResult run_step(const data::Batch& batch, const RunObserver* observer = nullptr);
  std::string find_not_finite(const data::Batch& batch);
  [[noreturn]] void report_not_finite(const data::Batch& batch, float loss);
  void finish_epoch();
  void show_progress(int64_t batch, int64_t batches);
  bool should_stop();
  void save_checkpoint();
  void restore(const std::filesystem::path& path);
  std::vector<NamedMemory> named_memory();
  std::map<std::string, std::string> settings() const;
  double learning_rate();
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

  Trainer& trainer_;
  Device& device_;
  const data::Dataset &train_, &validation_;
  FitOptions options_;
  StepOptions step_options_;
  std::unique_ptr<data::Loader> loader_;
  std::unique_ptr<io::FolderLock> lock_;  // of the run's folder
  std::unique_ptr<CheckpointFolder> checkpoints_;
  std::unique_ptr<CsvLogger> csv_;
  std::unique_ptr<TensorBoardLogger> tensorboard_;
  std::unique_ptr<ProgressLine> progress_;

  std::shared_ptr<const Artifact> artifact_;  // for batches of compiled_for_ examples
  int64_t compiled_for_ = -1;
  std::shared_ptr<Storage> key_, step_, learning_rate_, mix_weight_;

  Progression progression_;
  FitResult result_;
  Clock::time_point started_, last_checkpoint_, epoch_started_;
  std::vector<float> step_seconds_;
  double epoch_wait_ = 0, total_wait_ = 0, trained_seconds_ = 0;
  int64_t trained_examples_ = 0;
  double best_validation_ = 0;
  int64_t epochs_without_gain_ = 0;
  int64_t peak_before_ = 0;
};

// Puts what a fit measured into a report.
void describe_fit(const FitResult& fit, eval::Report& report);

}  // namespace wafer
