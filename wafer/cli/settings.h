#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "wafer/cli/command.h"
#include "wafer/data/load.h"
#include "wafer/models/model.h"
#include "wafer/train/trainer.h"

namespace wafer::cli {

// What a training run is made from: the options of `wafer train`, kept in the run's config.json so
// that the run can be resumed and evaluated without repeating them.
struct TrainSettings {
  std::string model;
  std::vector<std::string> model_options;  // "key=value"
  std::string from;                        // a file to go on from, in place of `model`
  std::string data;                        // "" = CIFAR-10 where it is found, else drawn shapes
  double validation = 0;                   // share of the training part
  std::string leave_out;                   // fsdd: the speaker who makes the test part
  int64_t sequence_length = 128;
  std::string image_size;  // what images are resized to: "64x48" or "3x64x48"; "": as they are
  int64_t epochs = 10, batch_size = 64;
  double learning_rate = 1e-3, weight_decay = 0, momentum = 0.9;
  std::string optimizer = "adam", schedule = "constant";
  double clip_norm = 0, ema = 0, label_smoothing = 0;
  int64_t patience = 0;
  double max_minutes = 0;
  int64_t accumulate = 1, checkpoint_steps = 0;
  double checkpoint_minutes = 5;
  std::string precision = "f32";
  uint64_t seed = 0;
  int workers = -1;  // -1: as FitOptions::workers chooses
  bool flip = false;
  int crop = 0, cutout = 0;
  double mixup = 0;

  // Adds the options to a command.
  void add_to(Command& command);
};

Json to_json(const TrainSettings& settings);
// UserError naming `where` and the field that is wrong.
TrainSettings settings_from_json(const std::string& text, const std::string& where);

// The settings that a resumed run goes on with: those it was started with, and what `command` was
// given for options that may change on the way (epochs, workers, ...), which is said on standard
// error. UserError for another option that was given with another value.
TrainSettings resumed_settings(const TrainSettings& started_with, const TrainSettings& given,
                               const Command& command);

// With images of an own folder or archive resized to what the model of `from` takes, unless
// image_size says otherwise; the sets that `wafer data` lists stay as they are.
TrainSettings with_image_size_of_model(TrainSettings settings);
// The same for a saved model that takes images channels x height x width.
TrainSettings with_image_size(TrainSettings settings, const Shape& image);

// Traces the model on the shape of the data where that is known without decoding them, so that a
// wrong shape is found at once. UserError naming the layer.
void check_shapes(const TrainSettings& settings);

// The data set of the settings, split.
data::Splits load_data(const TrainSettings& settings);
// A named model, one from a .toml file, or that of `from`, for this data; what there is to say of
// the latter goes to standard error. Inputs are then normalised as its weights are used to.
models::Model make_model(const TrainSettings& settings, data::Splits& splits);
// What the settings train, for messages and folders: "cnn", or the stem of a file.
std::string model_label(const TrainSettings& settings);
std::unique_ptr<Trainer> make_trainer(const TrainSettings& settings, models::Model& model);
FitOptions fit_options(const TrainSettings& settings);

// "key=value" words as options; UserError for a word without '='.
models::Options parse_options(const std::vector<std::string>& words);

}  // namespace wafer::cli
