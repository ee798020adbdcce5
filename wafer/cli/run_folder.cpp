#include "wafer/cli/run_folder.h"

#include <ctime>
#include <iostream>

#include "wafer/base/error.h"
#include "wafer/base/process.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/data/input_spec.h"
#include "wafer/io/file.h"
#include "wafer/io/image.h"
#include "wafer/models/saved_model.h"
#include "wafer/runtime/registry.h"
#include "wafer/train/checkpoint.h"

namespace wafer::cli {

RunFolder new_run_folder(const TrainSettings& settings, const std::string& data_name) {
  std::string model = model_label(settings);
  for (int n = 1;; ++n) {
    std::filesystem::path path =
        std::filesystem::path("runs") / (model + "-" + data_name + "-" + std::to_string(n));
    if (!std::filesystem::exists(path)) return {path};
  }
}

eval::Facts environment_facts() {
  eval::Facts facts;
  DeviceInfo info = default_device()->info();
  facts.emplace_back("device", info.name + ": " + info.description);
  facts.emplace_back("threads", std::to_string(thread_count()));
  facts.emplace_back("wafer", "0.1.0");
  facts.emplace_back("compiler", __VERSION__);
  return facts;
}

namespace {

std::string now_text() {
  std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", std::gmtime(&now));
  return text;
}

Json split_json(std::optional<double> loss, std::optional<double> accuracy) {
  Json json = Json::object();
  if (loss) json["loss"] = *loss;
  if (accuracy) json["accuracy"] = *accuracy;
  return json;
}

Json fit_json(const FitResult& fit, const std::string& run) {
  Json json;
  json["run"] = run;
  json["device"] = default_device()->info().name;
  json["precision"] = std::string(name(fit.precision));
  json["epochs"] = fit.epochs.size();
  json["epoch_seconds"] = Json::array();
  for (const auto& epoch : fit.epochs) json["epoch_seconds"].push_back(epoch.seconds.value_or(0));
  json["step_ms"] = {{"p50", fit.step_seconds_p50 * 1e3}, {"p90", fit.step_seconds_p90 * 1e3}};
  json["samples_per_second"] = fit.samples_per_second;
  json["first_step_seconds"] = fit.first_step_seconds;
  json["peak_memory_bytes"] = peak_resident_bytes();
  json["planned_memory_bytes"] = fit.planned.total;
  if (fit.measured_memory) json["measured_memory_bytes"] = *fit.measured_memory;
  json["data_wait_percent"] = fit.data_wait_percent;
  json["stopped_by"] = fit.stopped_by;
  // A part that the run does not have is null, never missing.
  json["train"] = json["validation"] = json["test"] = nullptr;
  if (!fit.epochs.empty()) {
    const auto& last = fit.epochs.back();
    json["train"] = split_json(last.train_loss, last.train_accuracy);
    if (last.validation_loss)
      json["validation"] = split_json(last.validation_loss, last.validation_accuracy);
  }
  return json;
}

// Pictures and names of the worst examples.
void illustrate(eval::Report& report, const data::Dataset& dataset) {
  for (eval::WorstExample& example : report.worst) {
    example.name = dataset.example_name(example.index);
    if (dataset.description().kind != data::InputKind::image) continue;
    io::Bytes png = io::encode_png(dataset.image(example.index));
    example.png.assign(png.begin(), png.end());
  }
}

void check_before_reading(Trainer& trainer, const TrainSettings& settings,
                          const models::Model& model, const data::Splits& splits) {
  models::saved_graph(model);
  trainer.step_graph(splits.train, std::min(settings.batch_size, splits.train.size()));
}

}  // namespace

Outcome train_and_report(const TrainSettings& given, const std::filesystem::path& path,
                         bool resume) {
  TrainSettings settings = resume ? given : with_image_size_of_model(given);
  fit_options(settings);  // what is wrong with them is said before any data is read
  check_shapes(settings);
  data::Splits splits = load_data(settings);
  models::Model model = make_model(settings, splits);
  if (!splits.note.empty()) std::cerr << splits.note << "\n";
  return train_and_report(settings, splits, model, path, resume);
}

Outcome train_and_report(const TrainSettings& settings, const data::Splits& splits,
                         models::Model& model, const std::filesystem::path& path, bool resume,
                         const std::vector<eval::Prediction>& selection) {
  FitOptions options = fit_options(settings);
  auto trainer = make_trainer(settings, model);
  check_options(options, &splits.train);
  check_before_reading(*trainer, settings, model, splits);
  RunFolder run =
      path.empty() ? new_run_folder(settings, splits.description().name) : RunFolder{path};
  io::make_folder(run.path);
  options.run = run.path;
  options.resume = resume;
  // A run that starts anew in a folder must not be taken for the one that was there.
  if (!resume) {
    for (const auto& old : CheckpointFolder(run.path / "checkpoints").list())
      std::filesystem::remove(old);
  }
  io::write_file_atomic(run.config(), to_json(settings).dump(2) + "\n");

  std::cerr << "training " << model_label(settings) << " ("
            << human_count(model.module->parameter_count()) << " parameters) on "
            << splits.description().name << " (" << human_count(splits.train.size())
            << " examples) on " << default_device()->info().name << ", " << thread_count()
            << " threads\n";
  FitResult fit = trainer->fit(splits.train, splits.validation, options);
  Outcome outcome;
  outcome.json = fit_json(fit, run.path.string());
  if (fit.interrupted) {
    std::cerr << "interrupted at step " << fit.steps << "; go on with: wafer train --resume --run "
              << run.path.string() << "\n";
    outcome.exit_code = 130;
    return outcome;
  }

  data::InputSpec input = data::input_spec(splits.train);
  models::save_model(run.model(), model, input);
  const data::Dataset& evaluated = !splits.test.empty() ? splits.test : splits.validation;
  const char* part = !splits.test.empty() ? "test" : "validation";
  eval::Report report;
  if (evaluated.empty()) {
    report = trainer->evaluate(splits.train, "train");
  } else {
    report = trainer->evaluate(evaluated, part);
    illustrate(report, evaluated);
    outcome.json[part] = split_json(report.splits[0].loss, report.splits[0].accuracy);
  }
  report.created = now_text();
  report.environment = environment_facts();
  report.selection = selection;
  for (const auto& prediction : selection) {
    if (prediction.chosen) report.predicted_step_seconds = prediction.step_seconds;
  }
  Json config = to_json(settings);
  for (const auto& [key, value] : config.items()) report.settings.emplace_back(key, value.dump());
  if (!splits.note.empty()) report.notes.push_back(splits.note);
  report.profile =
      trainer->profile(splits.train, std::min(settings.batch_size, splits.train.size()), 5);
  report.write(run.report().string());
  io::write_file_atomic(run.report_json(), report.json() + "\n");
  std::cerr << report.verdict() << "\nreport: " << run.report().string()
            << "\nmodel:  " << run.model().string() << "\n";
  return outcome;
}

}  // namespace wafer::cli
