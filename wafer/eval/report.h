#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wafer/eval/classification.h"
#include "wafer/eval/profile.h"
#include "wafer/eval/regression.h"

namespace wafer::eval {

// One epoch of training; what was not measured is absent. Accuracies and shares are in 0..1 unless
// named percent.
struct EpochRecord {
  int64_t epoch = 0;  // from 1
  std::optional<double> train_loss, train_accuracy, validation_loss, validation_accuracy;
  std::optional<double> learning_rate, seconds, samples_per_second, data_wait_percent;
};

// The outcome on one part of the data: "train", "validation" or "test".
struct SplitResult {
  std::string name;
  int64_t examples = 0;
  std::optional<double> loss, accuracy;
};

// An example that the model got most wrong.
struct WorstExample {
  int64_t index = 0;  // row of the evaluated set
  int64_t label = 0, predicted = 0;
  double probability = 0;        // of the predicted class
  double label_probability = 0;  // of the true class
  std::string name;              // file or position, for a person to find it; may be empty
  std::string png;               // the bytes of a PNG picture; empty: none
};
// The `count` wrongly classified rows with the least probability of their label, worst first; name
// and png are left to the caller.
std::vector<WorstExample> worst_examples(const Scores& probabilities, Labels labels, int64_t count);

// The plan that was printed before the first step, in bytes.
struct MemoryUse {
  std::vector<std::pair<std::string, double>> parts;  // "parameters", "activations", ...
  double planned_bytes = 0;
  std::optional<double> measured_bytes;  // growth of the peak resident memory over the same time
};

// One row of the select step's table.
struct Prediction {
  std::string device, precision;
  int64_t threads = 0;  // 0: not applicable
  std::optional<double> step_seconds, memory_bytes, energy_joules, cost;
  std::optional<double> measured_step_seconds;
  bool chosen = false;
  std::string remark;  // how the numbers came about, or why the device cannot be used
};

using Facts =
    std::vector<std::pair<std::string, std::string>>;  // (name, value), in the order shown

// Everything known about one training run and its evaluation. Absent parts are left out of the
// report, single numbers that are missing from a table read "unavailable".
struct Report {
  std::string model;                  // "cnn"
  std::string data;                   // "cifar10"
  std::string device;                 // "cpu: Intel Xeon ..., 2 threads"
  std::string precision;              // "f32"
  std::string created;                // when, as text
  std::optional<int64_t> parameters;  // count of trained numbers
  std::vector<std::string> class_names;

  std::vector<EpochRecord> epochs;
  std::optional<double> train_seconds;  // the whole of training
  std::optional<double> first_step_seconds;
  std::optional<double> step_seconds, step_seconds_p90;  // measured, median and 90th percentile
  std::optional<double> predicted_step_seconds;
  std::optional<double> samples_per_second, data_wait_percent;
  std::optional<MemoryUse> memory;
  std::vector<Prediction> selection;

  std::string evaluated_split = "test";  // what the metrics below were computed on
  std::vector<SplitResult> splits;
  std::optional<Classification> classification;
  std::optional<Regression> regression;
  std::vector<std::pair<double, double>> scatter;  // (target, predicted), for regression
  std::vector<WorstExample> worst;
  std::optional<Profile> profile;

  std::vector<std::string> notes;  // what a reader must know, such as a stand-in data set
  Facts environment;               // CPU, versions, commit, seed, command line
  Facts settings;

  // One paragraph of plain text: what was trained on what, how good it is, how long it took.
  std::string verdict() const;
  // One self-contained page: inline style and SVG, no script, nothing from a network; every name is
  // escaped.
  std::string html() const;
  // All numbers as one JSON object; absent values are absent, undefined ones null.
  std::string json() const;
  // html() to `path`. UserError when it cannot be written.
  void write(const std::string& path) const;
};

}  // namespace wafer::eval
