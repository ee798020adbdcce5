#include "wafer/base/error.h"
#include "wafer/cli/run_folder.h"
#include "wafer/io/file.h"
#include "wafer/train/checkpoint.h"

namespace wafer::cli {

namespace {
// A run that ended before its first checkpoint left nothing to lose.
bool holds_run(const RunFolder& run) {
  return std::filesystem::exists(run.model()) ||
         !CheckpointFolder(run.path / "checkpoints").list().empty();
}
}  // namespace

void add_train(CommandLine& line) {
  struct Arguments {
    TrainSettings settings;
    std::string run;
    bool resume = false;
    Command command;  // which options were given
  };
  auto a = std::make_shared<Arguments>();
  Command command = line.add(
      "train",
      "train a model on a data set; leaves a run folder with checkpoints, logs and a report",
      "wafer train cnn --data cifar10 --epochs 10 --batch-size 64 --lr 1e-3 --seed 0",
      [a](const Common&) {
        TrainSettings settings = a->settings;
        if (a->resume) {
          WAFER_REQUIRE(!a->run.empty(), "--resume",
                        "needs --run with the folder of the run to go on with");
          RunFolder run{a->run};
          if (std::filesystem::exists(run.config())) {
            TrainSettings started_with = settings_from_json(
                io::read_text_file(run.config(), 1 << 20), run.config().string());
            settings = resumed_settings(started_with, settings, a->command);
          } else if (settings.model.empty() && settings.from.empty()) {
            throw UserError(
                a->run, "holds no run to go on with: there is no config.json",
                {.hint =
                     "check the folder's name, or start a run: wafer train cnn --run " + a->run});
          }
        } else if (!a->run.empty() && holds_run(RunFolder{a->run})) {
          throw UserError(a->run, "holds a run already",
                          {.hint = "go on with it: wafer train --resume --run " + a->run +
                                   "; or choose another folder"});
        }
        WAFER_REQUIRE(!settings.model.empty() || !settings.from.empty(), "train",
                      "which model? Give a name (cnn, mlp, ...), a .toml file, or --from with a "
                      "model.onnx, a run folder or a model.safetensors");
        WAFER_REQUIRE(
            settings.from.empty() || (settings.model.empty() && settings.model_options.empty()),
            "--from", "the file says what the model is; leave out '",
            settings.model.empty() ? "--option" : settings.model, "'");
        return train_and_report(settings, a->run, a->resume);
      });
  a->command = command;
  command.option("model", a->settings.model, "a named model or a .toml file");
  a->settings.add_to(command);
  command.option("--run", a->run, "folder of the run; default: runs/<model>-<data>-<n>");
  command.flag(
      "--resume", a->resume,
      "go on with the run in --run, with its settings; --epochs, --patience, --max-minutes,"
      " --workers and --checkpoint-* may change");
}

}  // namespace wafer::cli
