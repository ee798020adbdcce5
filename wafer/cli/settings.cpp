#include "wafer/cli/settings.h"

#include <algorithm>
#include <iostream>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/data/describe.h"
#include "wafer/data/registry.h"
#include "wafer/models/start_from.h"
#include "wafer/models/summary.h"
#include "wafer/models/toml.h"
#include "wafer/optim/optimizer.h"
#include "wafer/optim/schedule.h"

namespace wafer::cli {

namespace {
// One field: its option and JSON name, where it lies, its help.
template <class F>
void each_field(F&& f) {
  f("from", &TrainSettings::from,
    "in place of a model: go on from the weights of a model.onnx, a run folder or a "
    "model.safetensors");
  f("data", &TrainSettings::data, "data set: a known name, or a file or folder");
  f("validation", &TrainSettings::validation, "share of the training part kept for validation");
  f("leave-out", &TrainSettings::leave_out, "fsdd: the speaker who makes the test part");
  f("sequence-length", &TrainSettings::sequence_length, "characters in a window of text");
  f("image-size", &TrainSettings::image_size,
    "images are resized to HEIGHTxWIDTH, or CHANNELSxHEIGHTxWIDTH; with --from, those of a folder "
    "to what the model takes");
  f("epochs", &TrainSettings::epochs, "passes over the training part");
  f("batch-size", &TrainSettings::batch_size, "examples a step");
  f("lr", &TrainSettings::learning_rate, "learning rate");
  f("weight-decay", &TrainSettings::weight_decay, "weight decay");
  f("momentum", &TrainSettings::momentum, "momentum of sgd");
  f("optimizer", &TrainSettings::optimizer, "adam, adamw or sgd");
  f("schedule", &TrainSettings::schedule,
    "learning rate over time: constant, cosine, one-cycle or plateau");
  f("clip-norm", &TrainSettings::clip_norm, "limit of the gradients' norm; 0: none");
  f("ema", &TrainSettings::ema, "decay of the weights' moving average; 0: none");
  f("label-smoothing", &TrainSettings::label_smoothing,
    "share of each target spread over all classes");
  f("patience", &TrainSettings::patience,
    "stop after so many epochs without gain in validation; 0: never");
  f("max-minutes", &TrainSettings::max_minutes, "stop after so many minutes; 0: never");
  f("accumulate", &TrainSettings::accumulate, "run each batch in so many parts, to save memory");
  f("checkpoint-minutes", &TrainSettings::checkpoint_minutes,
    "minutes between checkpoints; 0: only after epochs");
  f("checkpoint-steps", &TrainSettings::checkpoint_steps,
    "also a checkpoint every so many steps; 0: none");
  f("precision", &TrainSettings::precision,
    "what products are computed in: f32, bf16, f16 or auto (a narrow one where it pays and "
    "agrees)");
  f("seed", &TrainSettings::seed, "seed of weights, order and augmentation");
  f("workers", &TrainSettings::workers,
    "threads that prepare batches; 0: those that train, between steps; -1: 0 for small batches on "
    "a CPU, else 1");
  f("crop", &TrainSettings::crop, "random crops with so many pixels of padding");
  f("cutout", &TrainSettings::cutout, "side of a square cut out of each image");
  f("mixup", &TrainSettings::mixup, "alpha of mixup; 0: none");
}
}  // namespace

void TrainSettings::add_to(Command& command) {
  command.option("--option,-o", model_options, "option of the model as key=value; may be repeated");
  each_field([&](const std::string& name, auto field, const char* help) {
    command.option("--" + name, this->*field, help).show_default();
  });
  command.flag("--flip", flip, "random horizontal flips");
}

Json to_json(const TrainSettings& settings) {
  Json json = {
      {"model", settings.model}, {"option", settings.model_options}, {"flip", settings.flip}};
  each_field(
      [&](const std::string& name, auto field, const char*) { json[name] = settings.*field; });
  return json;
}

TrainSettings settings_from_json(const std::string& text, const std::string& where) {
  try {
    Json json = Json::parse(text);
    TrainSettings settings;
    json.at("model").get_to(settings.model);
    json.at("option").get_to(settings.model_options);
    json.at("flip").get_to(settings.flip);
    each_field([&](const std::string& name, auto field, const char*) {
      // Runs that were started before there were these have none.
      bool later = name == "from" || name == "image-size";
      if (!later || json.contains(name)) json.at(name).get_to(settings.*field);
    });
    return settings;
  } catch (const Json::exception& error) {
    throw UserError(where, str("the settings of the run cannot be read: ", error.what()));
  }
}

models::Options parse_options(const std::vector<std::string>& words) {
  models::Options options;
  for (const std::string& word : words) {
    auto equals = word.find('=');
    WAFER_REQUIRE(equals != word.npos && equals > 0, "--option", "'", word, "' is not key=value");
    options[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return options;
}

TrainSettings resumed_settings(const TrainSettings& started_with, const TrainSettings& given,
                               const Command& command) {
  // Training goes on as it was, only longer, shorter or with other pauses.
  const std::vector<std::string> free = {"epochs",  "patience",           "max-minutes",
                                         "workers", "checkpoint-minutes", "checkpoint-steps"};
  auto is_given = [&](const std::string& option) { return command.given(option); };
  auto refuse = [](const std::string& option, const std::string& got, const std::string& expected) {
    throw UserError(option, "the run was started with another value",
                    {.got = got,
                     .expected = expected,
                     .hint = "leave it out to go on with that run, or start a new run in another "
                             "folder"});
  };
  if (is_given("model") && given.model != started_with.model)
    refuse("model", given.model, started_with.model);
  if (is_given("--option")) {
    auto got = parse_options(given.model_options),
         expected = parse_options(started_with.model_options);
    if (got != expected) refuse("--option", Json(got).dump(), Json(expected).dump());
  }
  if (is_given("--flip") && !started_with.flip) refuse("--flip", "flips", "none");
  TrainSettings settings = started_with;
  each_field([&](const std::string& name, auto field, const char*) {
    if (!is_given("--" + name) || given.*field == started_with.*field) return;
    if (std::find(free.begin(), free.end(), name) == free.end())
      refuse("--" + name, str(given.*field), str(started_with.*field));
    std::cerr << "resuming with --" << name << " " << given.*field << " in place of "
              << started_with.*field << "\n";
    settings.*field = given.*field;
  });
  return settings;
}

namespace {
data::LoadOptions load_options(const TrainSettings& settings) {
  data::LoadOptions options;
  options.leave_out = settings.leave_out;
  options.sequence_length = settings.sequence_length;
  if (settings.image_size.empty()) return options;
  Shape size;
  try {
    size = models::parse_shape(settings.image_size);
  } catch (const UserError&) {
  }
  bool channels = size.rank() == 3;
  if (!(size.rank() == 2 || (channels && (size.size(0) == 1 || size.size(0) == 3)))) {
    throw UserError("--image-size", str("'", settings.image_size, "' is no size of images"),
                    {.expected = "HEIGHTxWIDTH, or 1 or 3 channels and these: 3x224x224"});
  }
  options.channels = channels ? size.size(0) : 0;
  options.image_height = size.size(-2);
  options.image_width = size.size(-1);
  WAFER_REQUIRE(options.image_height <= 1 << 14 && options.image_width <= 1 << 14, "--image-size",
                "images of ", settings.image_size, "; expected at most 16384 pixels each way");
  return options;
}

// The name of the data: what trains where none is given depends on what is there.
std::string data_name(const TrainSettings& settings) {
  if (!settings.data.empty()) return settings.data;
  return data::find("cifar10") ? "cifar10" : "shapes";
}
}  // namespace

TrainSettings with_image_size(TrainSettings settings, const Shape& image) {
  bool own = !data::describe(data_name(settings), {}, {});
  if (own && settings.image_size.empty()) settings.image_size = image.text();
  return settings;
}

TrainSettings with_image_size_of_model(TrainSettings settings) {
  bool own = !data::describe(data_name(settings), {}, {});
  if (settings.from.empty() || !settings.image_size.empty() || !own) return settings;
  auto image = models::image_input(settings.from);
  return image ? with_image_size(settings, *image) : settings;
}

void check_shapes(const TrainSettings& settings) {
  auto description = data::describe(data_name(settings), {}, load_options(settings));
  if (!description) return;
  if (!settings.from.empty()) {
    models::start_from(settings.from, *description, settings.seed);
    return;
  }
  models::DataSpec spec = models::spec_of(*description);
  models::Model model = models::create_or_load(
      settings.model, parse_options(settings.model_options), &spec, settings.seed);
  models::layers(*model.module, spec.input);
}

data::Splits load_data(const TrainSettings& settings) {
  data::LoadOptions options = load_options(settings);
  data::Splits splits =
      settings.data.empty() ? data::load_default(options) : data::load(settings.data, {}, options);
  return splits.split(
      {.validation = settings.validation, .test = std::nullopt, .seed = settings.seed});
}

models::Model make_model(const TrainSettings& settings, data::Splits& splits) {
  if (settings.from.empty()) {
    models::DataSpec spec = models::spec_of(splits.description());
    return models::create_or_load(settings.model, parse_options(settings.model_options), &spec,
                                  settings.seed);
  }
  models::Start start = models::start_from(settings.from, splits.description(), settings.seed);
  std::cerr << "going on from " << settings.from << "\n";
  for (const std::string& note : start.notes) std::cerr << "  " << note << "\n";
  if (start.normalise) {
    for (data::Dataset* part : {&splits.train, &splits.validation, &splits.test})
      if (!part->empty()) *part = part->with(*start.normalise);
  }
  return std::move(start.model);
}

std::string model_label(const TrainSettings& settings) {
  if (settings.from.empty()) return std::filesystem::path(settings.model).stem().string();
  std::filesystem::path path = std::filesystem::path(settings.from).lexically_normal();
  if (path.filename().empty() || path.filename() == "model.safetensors") path = path.parent_path();
  std::string stem = path.stem().string();
  return stem.empty() ? "model" : stem;
}

namespace {
std::shared_ptr<optim::Optimizer> make_optimizer(const TrainSettings& s) {
  if (s.optimizer == "adam") {
    return std::make_shared<optim::Adam>(
        optim::AdamOptions{.lr = s.learning_rate, .weight_decay = s.weight_decay});
  }
  if (s.optimizer == "adamw") {
    return std::make_shared<optim::AdamW>(
        optim::AdamWOptions{.lr = s.learning_rate, .weight_decay = s.weight_decay});
  }
  if (s.optimizer == "sgd") {
    return std::make_shared<optim::SGD>(optim::SgdOptions{
        .lr = s.learning_rate, .momentum = s.momentum, .weight_decay = s.weight_decay});
  }
  throw UserError(
      "--optimizer",
      str("no optimiser '", s.optimizer, "'", did_you_mean(s.optimizer, {"adam", "adamw", "sgd"})),
      {.expected = "adam, adamw or sgd"});
}
}  // namespace

std::unique_ptr<Trainer> make_trainer(const TrainSettings& settings, models::Model& model) {
  nn::Loss loss = model.loss();
  if (settings.label_smoothing > 0) {
    WAFER_REQUIRE(model.spec.task == data::Task::classification, "--label-smoothing",
                  "is for classification");
    double smoothing = settings.label_smoothing;
    loss.function = [smoothing](const Tensor& output, const Tensor& target) {
      return cross_entropy(output, target, {.label_smoothing = smoothing});
    };
  }
  if (model.module->name().empty()) model.module->set_name(model.name);
  nn::UnaryModule* module = model.module.get();
  return std::make_unique<Trainer>(
      *module, [module](const Tensor& x) { return (*module)(x); }, loss.function,
      make_optimizer(settings), nullptr);
}

namespace {
// Those that a library function would see only where they are used, or name otherwise.
void check_ranges(const TrainSettings& s) {
  require_in_range(s.sequence_length >= 1, "--sequence-length", s.sequence_length,
                   "at least 1 character");
  require_in_range(s.momentum >= 0 && s.momentum < 1, "--momentum", s.momentum,
                   "a number in [0, 1)");
  require_in_range(s.label_smoothing >= 0 && s.label_smoothing < 1, "--label-smoothing",
                   s.label_smoothing, "a number in [0, 1)");
  require_in_range(s.workers >= -1 && s.workers <= 256, "--workers", s.workers,
                   "at least -1 and at most 256");
  require_in_range(s.crop >= 0, "--crop", s.crop, "0 or more pixels");
  require_in_range(s.cutout >= 0, "--cutout", s.cutout, "0 or more pixels");
  require_in_range(s.mixup >= 0 && s.mixup <= 100, "--mixup", s.mixup, "a number in [0, 100]");
}
}  // namespace

FitOptions fit_options(const TrainSettings& s) {
  check_ranges(s);
  FitOptions options;
  options.epochs = s.epochs;
  options.batch_size = s.batch_size;
  options.seed = s.seed;
  if (s.workers >= 0) options.workers = s.workers;
  options.precision = precision_by_name(s.precision);
  options.ema_decay = s.ema;
  options.accumulate = s.accumulate;
  options.checkpoint_minutes = s.checkpoint_minutes;
  options.checkpoint_steps = s.checkpoint_steps;
  options.patience = s.patience;
  options.max_seconds = 60 * s.max_minutes;
  if (s.clip_norm != 0) options.clip_norm = s.clip_norm;
  if (s.flip || s.crop > 0 || s.cutout > 0 || s.mixup > 0) {
    data::Augmentation augmentation;
    augmentation.crop_padding = s.crop;
    augmentation.horizontal_flip = s.flip;
    augmentation.cutout = s.cutout;
    augmentation.mixup = static_cast<float>(s.mixup);
    options.augmentation = augmentation;
  } else {
    options.augmentation = data::Augmentation{};  // windows of text are shifted
  }
  if (s.schedule != "constant") options.schedule = optim::schedule_by_name(s.schedule);
  options.stop = &catch_interrupts();
  check_options(options);
  return options;
}

}  // namespace wafer::cli
