#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wafer/data/dataset.h"
#include "wafer/eval/report.h"
#include "wafer/pass/precision.h"
#include "wafer/select/predict.h"
#include "wafer/train/step.h"

// Chooses where a model runs: predicts its step on every device that is here, with every number of
// threads and in every precision, from flops, bytes and measured rates.
namespace wafer::select {

// What to be best at: examples a second in training; seconds of one inference of one example; bytes
// in training.
enum Goal { Throughput, Latency, Memory };

struct Options {
  Goal objective = Throughput;
  int64_t batch_size = 64;
  std::shared_ptr<optim::Optimizer> optimizer;  // null: Adam
  LossFunction loss;                            // empty: what goes with the task of the data
  std::string device;                           // only this one; "": every device that is here
  int threads = 0;                              // only so many; 0: from one to every CPU
  // Only this one; automatic: f32, and bf16 where the device multiplies it in hardware.
  Precision precision = Precision::automatic;
  bool verify = false;  // also measure every candidate; the choice stays the predicted one
  bool print = true;    // says why on standard output, in three lines
};

// One way to run the model.
struct Candidate {
  std::shared_ptr<Device> device;
  std::string device_name;
  std::optional<Precision> precision;    // absent: unavailable
  int threads = 0;                       // 0: the device has no such setting
  std::optional<Prediction> prediction;  // absent: unavailable, for the reason in `remark`
  std::optional<double> measured_seconds;
  std::shared_ptr<const Calibration> calibration;  // what the prediction is made from; may be null
  std::string remark;
};

struct Choice {
  std::shared_ptr<Device> device;
  int threads = 0;
  Precision precision = Precision::f32;
  Prediction prediction;
  std::vector<Candidate> candidates;  // best first, the unavailable last
  Goal objective = Throughput;
  int64_t batch_size = 64;
  double flops_per_second = 0, bytes_per_second = 0;  // measured, of what was chosen

  // Three lines: what was chosen, why, and instead of what.
  std::string text() const;
  // The candidates as rows of a report.
  std::vector<eval::Prediction> table() const;
};

// The candidates for one graph in f32, in order of the objective. UserError when no device can run
// it. Sets the number of threads to the choice's.
Choice best_for(const Graph& graph, const Options& options = {});

// For training (Latency: for inference of) a model on examples of these types, which have no batch
// dimension.
Choice best_for_types(const Objective& objective, const Type& input, const Type& target,
                      const Options& options = {});
Choice best_for_data(nn::Module& model, ForwardFunction forward, const data::Dataset& dataset,
                     const Options& options = {});

// As design pages write it: select::best(model, data.train, {.objective = select::Throughput}).
template <nn::UnaryForward Model>
Choice best(Model& model, const data::Dataset& dataset, const Options& options = {}) {
  return best_for_data(model, nn::callable(model), dataset, options);
}

// The same candidates as rows of a report, without a choice.
template <nn::UnaryForward Model>
std::vector<eval::Prediction> candidates(Model& model, const data::Dataset& dataset,
                                         Options options = {}) {
  options.print = false;
  return best(model, dataset, options).table();
}

// "throughput", "latency" or "memory"; UserError with "did you mean" otherwise.
Goal goal_by_name(const std::string& name);
std::string name(Goal goal);

}  // namespace wafer::select
