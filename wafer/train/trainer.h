#pragma once
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wafer/data/loader.h"
#include "wafer/eval/report.h"
#include "wafer/optim/schedule.h"
#include "wafer/runtime/device.h"
#include "wafer/train/step.h"

namespace wafer {

struct FitOptions {
  int64_t epochs = 10;
  int64_t batch_size = 64;
  uint64_t seed = 0;
  std::optional<data::Augmentation> augmentation;
  std::shared_ptr<optim::Schedule> schedule;  // null: the optimiser's learning rate throughout
  std::optional<double> clip_norm, clip_value;
  double ema_decay = 0;    // > 0: evaluates and saves this moving average of the weights
  int64_t accumulate = 1;  // parts that each batch is run in, to save memory: see StepOptions
  int64_t patience = 0;    // > 0: stops after so many epochs without a lower validation loss
  double max_seconds = 0;  // > 0: stops at the end of the step that passes it
  // Threads that prepare batches meanwhile; 0: those that train do, between steps. None: 0 where
  // these have all CPUs to themselves and a batch is soon made, else 1.
  std::optional<int> workers;
  // What products are computed in. Automatic: bf16 where the device multiplies it in hardware, the
  // step has enough to compute, and some steps on the first batch from the initial weights give the
  // losses of f32; the choice is kept with the checkpoints.
  Precision precision = Precision::f32;

  std::filesystem::path run = {};  // folder of checkpoints and logs; empty: nothing is written
  bool resume = false;             // goes on from the newest checkpoint of `run` that can be read
  double checkpoint_minutes = 5;   // 0: only at the end of epochs
  int64_t checkpoint_steps = 0;    // > 0: also every so many steps

  bool progress = true;  // a progress line on standard error
  // Set: checkpoint, and return with `interrupted`. Who sets it from a signal waits for the signal
  // in a thread of its own (sigwait), with it blocked in all others: a handler on the stack of a
  // thread that computes damages the heap where oneDNN has moved the stack pointer there.
  const std::atomic<bool>* stop = nullptr;
};

// UserError naming the option that is out of range, by itself or for this training set.
void check_options(const FitOptions& options, const data::Dataset* train = nullptr);
// As many workers as asked for, or as suit the device and the batches.
int loader_workers(const FitOptions& options, const data::Dataset& train, const Device& device);
// Those of them that the step's graph depends on.
StepOptions step_options_of(const FitOptions& options);

struct MemoryEstimate {
  std::vector<std::pair<std::string, size_t>> parts;  // "parameters", "optimiser state", ...
  size_t total = 0;
  std::string text() const;  // one line
};

struct FitResult {
  std::vector<eval::EpochRecord> epochs;
  bool interrupted = false;
  Precision precision = Precision::f32;  // as it was run
  std::string precision_note;            // one line: why, where it was automatic
  std::string stopped_by;                // "", "interrupt", "patience", "time"
  int64_t steps = 0;
  double seconds = 0;
  double first_step_seconds = 0;  // from the start of the process to the end of the first step
  double step_seconds_p50 = 0, step_seconds_p90 = 0;
  double samples_per_second = 0;
  double data_wait_percent = 0;
  MemoryEstimate planned;
  std::optional<int64_t>
      measured_memory;  // growth of the peak, from before compiling to the end of epoch 1
};

// What one pass over a set in evaluation mode adds up to.
struct EvaluationSums {
  double loss = 0;  // times examples
  int64_t correct = 0, predictions = 0, examples = 0;
  std::vector<double> outputs;  // [examples, outputs_per_example] when they were asked for
  int64_t outputs_per_example = 0;

  double mean_loss() const { return loss / static_cast<double>(examples); }
  double accuracy() const {
    return static_cast<double>(correct) / static_cast<double>(predictions);
  }
};

// Examples in a batch of the evaluation after an epoch.
inline constexpr int64_t evaluation_batch = 256;

// A batch of a set as a model and its loss see it.
Type batch_input_type(const data::Dataset& dataset, int64_t batch);
Type batch_target_type(const data::Dataset& dataset, int64_t batch);

// Trains a model: makes the train step one graph, compiles it once for each batch shape, and
// replays it.
class Trainer {
 public:
  // model: any Module whose forward takes one tensor. loss: (output, target) -> mean loss.
  template <nn::UnaryForward Model, class Loss, class Optimizer>
  Trainer(Model& model, Loss loss, Optimizer optimizer, std::shared_ptr<Device> device = nullptr)
      : Trainer(
            model, nn::callable(model),
            [loss](const Tensor& a, const Tensor& b) { return Tensor(loss(a, b)); },
            std::make_shared<Optimizer>(std::move(optimizer)), std::move(device)) {}
  Trainer(nn::Module& model, ForwardFunction forward, LossFunction loss,
          std::shared_ptr<optim::Optimizer> optimizer, std::shared_ptr<Device> device);
  ~Trainer();

  // Trains on `train`, and after each epoch evaluates on `validation` (may be empty). A wrong shape
  // is found before any data is read. UserError on a loss that is not finite names the step and the
  // first node that produced such a value; the model then has the weights of the step before.
  FitResult fit(const data::Dataset& train, const data::Dataset& validation,
                const FitOptions& options = {});

  // Loss and metrics on a set, as a report with what is known of the last fit().
  eval::Report evaluate(const data::Dataset& dataset, const std::string& name = "test",
                        int64_t batch_size = 256);

  // Compiles the step for a batch of this set without reading it: what `check`, plans and
  // predictions need.
  std::shared_ptr<const Artifact> compile_step(const data::Dataset& dataset, int64_t batch_size,
                                               const StepOptions& options = {});
  // The same as a graph.
  Graph step_graph(const data::Dataset& dataset, int64_t batch_size,
                   const StepOptions& options = {});

  // What fit() will take: the sizes are those of the compiled step (and of evaluation, with a
  // validation part); what compiling itself took, code of kernels that was brought into memory
  // included, is measured.
  MemoryEstimate plan_memory(const data::Dataset& dataset, const FitOptions& options,
                             const data::Dataset& validation = {});

  // Time of each node of the train step, over some steps on the set's first batch. The state is
  // left as it is.
  eval::Profile profile(const data::Dataset& dataset, int64_t batch_size, int64_t steps);

  nn::Module& model() { return *objective_.module; }
  const std::shared_ptr<Device>& device() const { return device_; }
  // Of the last fit(), and of evaluations since.
  Precision precision() const { return options_.precision; }

 private:
  friend class FitLoop;

  void start(const StepOptions& options);
  void store();  // trained values back into the module
  std::vector<std::shared_ptr<Storage>> weights() const;
  Objective objective_for(const data::Dataset& dataset) const;
  std::shared_ptr<const Artifact> compile_evaluation(const data::Dataset& dataset,
                                                     int64_t batch_size, bool keep_outputs,
                                                     Precision precision);
  EvaluationSums run_evaluation(const data::Dataset& dataset, int64_t batch_size,
                                bool keep_outputs);

  Objective objective_;
  std::shared_ptr<optim::Optimizer> optimizer_;
  std::shared_ptr<Device> device_;
  StepOptions options_;
  std::vector<StateTensor> state_;
  std::vector<std::shared_ptr<Storage>> memory_;  // of state_
  std::optional<FitResult> last_fit_;
  int64_t steps_done_ = 0;
  uint64_t seed_ = 0;
};

}  // namespace wafer
