#include <cstdio>
#include <iostream>

#include "wafer/base/strings.h"
#include "wafer/cli/run_folder.h"
#include "wafer/data/input_spec.h"
#include "wafer/eval/classification.h"
#include "wafer/io/file.h"
#include "wafer/io/image.h"
#include "wafer/models/predictor.h"
#include "wafer/models/saved_model.h"
#include "wafer/select/select.h"

namespace wafer::cli {

namespace {

void heading(const char* text) {
  std::cout << "\n== " << text << std::endl;
}

select::Choice select_step(models::Model& model, const data::Splits& splits,
                           const TrainSettings& settings) {
  heading("1. select: which hardware suits the model");
  nn::UnaryModule* module = model.module.get();
  select::Options options;
  options.batch_size = settings.batch_size;
  options.precision = precision_by_name(settings.precision);
  return select::best_for_data(
      *module, [module](const Tensor& x) { return (*module)(x); }, splits.train, options);
}

void deploy_step(models::Model& model, const data::Splits& splits, const TrainSettings& settings) {
  heading("2. deploy: compile the train step for it");
  auto artifact = make_trainer(settings, model)
                      ->compile_step(splits.train, settings.batch_size,
                                     {.precision = precision_by_name(settings.precision)});
  double flops = 0;
  for (const StepInfo& step : artifact->steps) flops += step.cost.flops;
  std::printf("one graph of %zu steps, %.2f GFLOP, compiled in %s\n", artifact->steps.size(),
              flops * 1e-9, human_seconds(artifact->compile_seconds).c_str());
  std::fflush(stdout);
}

void prepare_step(const data::Splits& splits) {
  heading("3. prepare: the data");
  if (!splits.note.empty()) std::cout << splits.note << "\n";
  std::cout << splits.description().name << ": " << human_count(splits.train.size())
            << " training and " << human_count(splits.test.size()) << " test examples of "
            << splits.train.input_shape() << ", " << splits.train.classes() << " classes"
            << std::endl;
}

// Writes a few test images as files and reads them back as a user would.
void infer_step(const RunFolder& run, const data::Splits& splits) {
  heading("5. infer: the saved model on image files");
  models::SavedModel saved = models::load_model(run.model());
  models::Predictor predictor(saved.model);
  std::filesystem::create_directories(run.path / "images");
  int64_t stride = std::max<int64_t>(splits.test.size() / 5, 1);
  for (int64_t i = 0; i < std::min<int64_t>(5, splits.test.size()); ++i) {
    int64_t index = i * stride + i;
    std::filesystem::path file = run.path / "images" / ("test-" + std::to_string(index) + ".png");
    io::write_file_atomic(file, io::encode_png(splits.test.image(index)));
    std::vector<float> values = data::prepare(saved.input, io::read_image(file));
    std::vector<int64_t> sizes = saved.input.description.shape;
    sizes.insert(sizes.begin(), 1);
    std::vector<double> output = predictor.run(Tensor::from_values(values, Shape(sizes)));
    eval::Scores scores(output, static_cast<int64_t>(output.size()));
    auto best = static_cast<size_t>(eval::argmax(scores)[0]);
    std::printf("%s: %s (%.1f %%), is %s\n", file.filename().c_str(),
                splits.test.class_names()[best].c_str(), 100 * eval::softmax(scores)[best],
                splits.test.class_names()[static_cast<size_t>(splits.test.label(index))].c_str());
  }
  std::fflush(stdout);
}

Outcome run_demo(TrainSettings settings, const std::string& path) {
  check_shapes(settings);
  data::Splits splits = load_data(settings);
  models::Model model = make_model(settings, splits);
  auto choice = select_step(model, splits, settings);
  settings.precision = name(choice.precision);
  deploy_step(model, splits, settings);
  prepare_step(splits);
  heading("4. train");
  RunFolder run =
      path.empty() ? new_run_folder(settings, splits.description().name) : RunFolder{path};
  Outcome outcome = train_and_report(settings, splits, model, run.path, false, choice.table());
  if (outcome.exit_code != 0) return outcome;
  if (splits.description().kind == data::InputKind::image && !splits.test.empty())
    infer_step(run, splits);
  heading("6. evaluate");
  std::printf("predicted %.2f ms a step, measured %.2f ms; test accuracy %.1f %%\nreport: %s\n",
              1e3 * choice.prediction.seconds, outcome.json["step_ms"]["p50"].get<double>(),
              100 * outcome.json["test"]["accuracy"].get<double>(), run.report().c_str());
  outcome.json["predicted_step_ms"] = 1e3 * choice.prediction.seconds;
  return outcome;
}

}  // namespace

void add_demo(CommandLine& line) {
  struct Arguments {
    TrainSettings settings;
    std::string run;
  };
  auto a = std::make_shared<Arguments>();
  a->settings.model = "cnn";
  a->settings.epochs = 5;
  Command command = line.add(
      "demo", "the six steps on a CNN: select, deploy, prepare data, train, infer, evaluate",
      "wafer demo --run runs/demo", [a](const Common&) { return run_demo(a->settings, a->run); });
  a->settings.add_to(command);
  command.option("--run", a->run, "folder of the run; default: runs/cnn-<data>-<n>");
}

}  // namespace wafer::cli
