#include <iostream>

#include "wafer/base/error.h"
#include "wafer/cli/run_folder.h"
#include "wafer/io/file.h"
#include "wafer/models/saved_model.h"

namespace wafer::cli {

void add_eval(CommandLine& line) {
  struct Arguments {
    std::string run, data, report;
  };
  auto a = std::make_shared<Arguments>();
  Command command = line.add(
      "eval", "evaluate a run or a saved model on the test part of data",
      "wafer eval runs/cnn-cifar10-1", [a](const Common&) {
        TrainSettings settings;
        std::filesystem::path model = a->run;
        if (model.extension() == ".safetensors") {
          WAFER_REQUIRE(!a->data.empty(), a->run, "evaluate on which data? Give --data");
        } else {
          RunFolder run{a->run};
          settings =
              settings_from_json(io::read_text_file(run.config(), 1 << 20), run.config().string());
          model = run.model();
        }
        if (!a->data.empty()) settings.data = a->data;
        models::SavedModel saved = models::load_model(model);
        const data::Description& about = saved.input.description;
        if (about.kind == data::InputKind::image && !a->data.empty())
          settings = with_image_size(settings, Shape(about.shape));
        data::Splits splits = load_data(settings);
        auto trainer = make_trainer(settings, saved.model);
        bool has_test = !splits.test.empty();
        data::Dataset part =
            (has_test ? splits.test : splits.validation).with(saved.input.normalise);
        WAFER_REQUIRE(!part.empty(), settings.data, "has neither a test nor a validation part");
        eval::Report report = trainer->evaluate(part, has_test ? "test" : "validation");
        report.environment = environment_facts();
        if (!a->report.empty()) report.write(a->report);
        std::cout << report.verdict() << "\n";
        Outcome outcome;
        outcome.json = Json::parse(report.json());
        return outcome;
      });
  command.option("run", a->run, "a run folder, or a model.safetensors with --data").required();
  command.option("--data", a->data, "evaluate on this data set, in place of the run's");
  command.option("--report", a->report, "also write an HTML report to this file");
}

}  // namespace wafer::cli
