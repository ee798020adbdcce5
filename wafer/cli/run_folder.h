#pragma once
#include <filesystem>

#include "wafer/cli/settings.h"
#include "wafer/eval/report.h"

namespace wafer::cli {

// What `wafer train` leaves behind: config.json, checkpoints/, metrics.csv, tensorboard/,
// model.safetensors, report.html and report.json.
struct RunFolder {
  std::filesystem::path path;

  std::filesystem::path config() const { return path / "config.json"; }
  std::filesystem::path model() const { return path / "model.safetensors"; }
  std::filesystem::path report() const { return path / "report.html"; }
  std::filesystem::path report_json() const { return path / "report.json"; }
};

// runs/<model>-<data>-<n> with the first n that is free.
RunFolder new_run_folder(const TrainSettings& settings, const std::string& data_name);

// Trains and evaluates as the settings say, in the run folder; `resume` goes on with it. Prints
// progress, the results and where the report lies.
Outcome train_and_report(const TrainSettings& settings, const std::filesystem::path& run,
                         bool resume);
// The same with the data and the model of those settings already there; `selection` is for the
// report. What the data's note says is the caller's to print.
Outcome train_and_report(const TrainSettings& settings, const data::Splits& splits,
                         models::Model& model, const std::filesystem::path& run, bool resume,
                         const std::vector<eval::Prediction>& selection = {});

// The facts of this machine and build for a report.
eval::Facts environment_facts();

}  // namespace wafer::cli
