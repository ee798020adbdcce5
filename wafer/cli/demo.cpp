#include <iostream>

#include "wafer/cli/run_folder.h"

namespace wafer::cli {

// The main job: the two-convolution CNN through select, deploy, prepare, train, infer and evaluate.
void add_demo(CLI::App& app) {
  struct Arguments {
    TrainSettings settings;
    std::string run;
  };
  auto a = std::make_shared<Arguments>();
  a->settings.model = "cnn";
  a->settings.epochs = 3;
  auto* command = add_command(app, "demo", "the six steps on a CNN: select, deploy, prepare data, train, infer, evaluate",
                              "wafer demo --run runs/demo", [a](const Common&) {
                                return train_and_report(a->settings, a->run, false);
                              });
  a->settings.add_to(*command);
  command->add_option("--run", a->run, "folder of the run; default: runs/cnn-<data>-<n>");
}

}  // namespace wafer::cli
