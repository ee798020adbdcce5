#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <numeric>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/cli/onnx.h"
#include "wafer/cli/run_folder.h"
#include "wafer/eval/classification.h"
#include "wafer/io/image.h"
#include "wafer/io/wav.h"
#include "wafer/models/predictor.h"

namespace wafer::cli {

namespace {
namespace fs = std::filesystem;

struct InferArguments {
  Command command;  // to ask what was given
  std::string model, prompt, output;
  std::vector<std::string> files;
  int64_t top = 5;
  std::string precision = "f32";
  models::SampleOptions sample;
};

// Whether a file of a folder is one for the model; by its name, else by what it holds, so that a
// damaged image is an error and a list of names is not.
bool is_for(data::InputKind kind, const fs::path& path) {
  if (kind == data::InputKind::image && io::is_image_name(path)) return true;
  if (kind == data::InputKind::frames && lower(path.extension().string()) == ".wav") return true;
  try {
    if (kind == data::InputKind::image) io::read_image(path);
    if (kind == data::InputKind::frames) io::read_wav(path);
    return true;
  } catch (const UserError&) {
    return false;
  }
}

const char* name_of_file(data::InputKind kind) {
  return kind == data::InputKind::frames ? "WAV file" : "image";
}

// Files as given, and those of folders in order of name. What lies in a folder and is none for the
// model goes to `skipped`.
std::vector<fs::path> list_files(const std::vector<std::string>& arguments, data::InputKind kind,
                                 std::vector<fs::path>& skipped) {
  std::vector<fs::path> files;
  for (const std::string& argument : arguments) {
    if (!fs::is_directory(argument)) {
      files.emplace_back(argument);
      continue;
    }
    std::vector<fs::path> inside;
    for (const auto& entry : fs::recursive_directory_iterator(argument)) {
      if (entry.is_regular_file()) inside.push_back(entry.path());
    }
    std::sort(inside.begin(), inside.end());
    WAFER_REQUIRE(!inside.empty(), argument, "the folder holds no files");
    size_t before = files.size();
    for (const fs::path& path : inside) (is_for(kind, path) ? files : skipped).push_back(path);
    WAFER_REQUIRE(files.size() > before, argument, "the folder holds no ", name_of_file(kind),
                  "s, but for example '", inside[0].filename().string(),
                  "'; give files or a folder of them");
  }
  return files;
}

std::vector<float> prepare_file(const data::InputSpec& spec, const fs::path& path) {
  if (spec.description.kind == data::InputKind::image)
    return data::prepare(spec, io::read_image(path));
  if (spec.description.kind == data::InputKind::frames)
    return data::prepare(spec, io::read_wav(path));
  throw UserError(path.string(),
                  str("the model takes ", data::name(spec.description.kind), ", not files"));
}

// The most probable classes of one example, printed and as JSON.
Json describe(const data::InputSpec& spec, const std::vector<double>& output, int64_t top) {
  Json json = Json::array();
  if (spec.description.task == data::Task::regression) {
    for (double value : output) {
      std::printf("  %g\n", value);
      json.push_back(value);
    }
    return json;
  }
  std::vector<double> probabilities =
      eval::softmax(eval::Scores(output, static_cast<int64_t>(output.size())));
  std::vector<size_t> order(output.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  for (size_t k = 0; k < order.size() && static_cast<int64_t>(k) < top; ++k) {
    const auto& classes = spec.description.classes;
    std::string name = order[k] < classes.size() ? classes[order[k]] : std::to_string(order[k]);
    std::printf("  %6.2f %%  %s\n", 100 * probabilities[order[k]], name.c_str());
    json.push_back({{"class", name}, {"probability", probabilities[order[k]]}});
  }
  return json;
}

Outcome infer_files(const InferArguments& a, models::SavedModel& saved) {
  models::Predictor predictor(saved.model, nullptr, precision_by_name(a.precision));
  Outcome outcome;
  outcome.json["results"] = Json::array();
  std::vector<fs::path> skipped;
  data::InputKind kind = saved.input.description.kind;
  auto files = list_files(a.files, kind, skipped);
  for (const fs::path& path : skipped) {
    std::cerr << "note: skipped " << path.string() << ", which is no " << name_of_file(kind)
              << std::endl;
    outcome.json["skipped"].push_back(path.string());
  }
  constexpr size_t batch = 64;
  for (size_t first = 0; first < files.size(); first += batch) {
    size_t count = std::min(batch, files.size() - first);
    std::vector<float> values;
    for (size_t i = 0; i < count; ++i) {
      std::vector<float> one = prepare_file(saved.input, files[first + i]);
      values.insert(values.end(), one.begin(), one.end());
    }
    std::vector<int64_t> sizes = saved.input.description.shape;
    sizes.insert(sizes.begin(), static_cast<int64_t>(count));
    std::vector<double> outputs = predictor.run(Tensor::from_values(values, Shape(sizes)));
    auto each = static_cast<std::ptrdiff_t>(predictor.outputs_per_example());
    for (size_t i = 0; i < count; ++i) {
      std::cout << files[first + i].string() << std::endl;
      auto at = outputs.begin() + static_cast<std::ptrdiff_t>(i) * each;
      Json top = describe(saved.input, {at, at + each}, a.top);
      std::fflush(stdout);
      outcome.json["results"].push_back({{"file", files[first + i].string()}, {"top", top}});
    }
  }
  outcome.json["precision"] = std::string(name(predictor.precision()));
  return outcome;
}

Outcome infer_text(const InferArguments& a, models::SavedModel& saved) {
  WAFER_REQUIRE(a.files.empty(), "infer",
                "the model writes text and takes no files; to begin with '", a.files[0],
                "', give --prompt '", a.files[0], "'");
  models::Predictor predictor(saved.model, nullptr, precision_by_name(a.precision));
  std::string text = models::sample_text(predictor, saved.input, a.prompt, a.sample);
  std::cout << text << std::endl;
  Outcome outcome;
  outcome.json["text"] = text;
  outcome.json["precision"] = std::string(name(predictor.precision()));
  return outcome;
}

// What an ONNX file leaves no choice of.
void check_onnx_options(const Command& command) {
  auto refuse = [&](const char* option, const std::string& why, const std::string& hint) {
    if (command.given(option)) throw UserError(option, why, {.hint = hint});
  };
  refuse("--precision", "an ONNX model runs in the types that its file states", "leave it out");
  refuse("--top",
         "an ONNX model's outputs are shown whole: the file does not say which are classes",
         "leave it out; --output FOLDER writes them as .npy files");
  for (const char* option : {"--prompt", "--length", "--temperature", "--seed"})
    refuse(option, "it is for models of text; this one is an ONNX file", "leave it out");
}

void check_ranges(const InferArguments& a) {
  require_in_range(a.top >= 1, "--top", a.top, "at least 1");
  require_in_range(a.sample.length >= 1, "--length", a.sample.length, "at least 1 character");
  require_in_range(a.sample.temperature >= 0 && std::isfinite(a.sample.temperature),
                   "--temperature", a.sample.temperature,
                   "0 (always the most probable) or a positive number");
}
}  // namespace

void add_infer(CommandLine& line) {
  auto a = std::make_shared<InferArguments>();
  Command command = line.add(
      "infer", "run a saved model on files, or let it write text",
      "wafer infer runs/cnn-cifar10-1 photo.png pictures/", [a](const Common&) {
        check_ranges(*a);
        if (is_onnx(a->model)) {
          check_onnx_options(a->command);
          return infer_onnx(a->model, a->files, a->output);
        }
        fs::path path = a->model;
        if (fs::is_directory(path)) path = RunFolder{path}.model();
        models::SavedModel saved = models::load_model(path);
        if (saved.input.description.task == data::Task::next_token) return infer_text(*a, saved);
        WAFER_REQUIRE(!a->files.empty(), "infer", "which files? Give images, or a folder of them");
        return infer_files(*a, saved);
      });
  a->command = command;
  command.option("model", a->model, "a run folder, a model.safetensors or a model.onnx").required();
  command.option("files", a->files,
                 "files or folders; of an ONNX model a .npy file for each input, or one .npz");
  command.option("--output", a->output, "ONNX: a folder for the outputs as .npy files");
  command
      .option(
          "--precision", a->precision,
          "f32, bf16, f16 or auto (a narrow one where it is fast and agrees on the first inputs)")
      .show_default();
  command.option("--top", a->top, "how many classes to show").show_default();
  command.option("--prompt", a->prompt, "text models: what the text begins with");
  command.option("--length", a->sample.length, "text models: characters to write").show_default();
  command
      .option("--temperature", a->sample.temperature, "text models: 0 is always the most probable")
      .show_default();
  command.option("--seed", a->sample.seed, "text models: seed of the draws").show_default();
}

}  // namespace wafer::cli
