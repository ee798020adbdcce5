#include <iostream>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/cli/settings.h"
#include "wafer/io/file.h"
#include "wafer/models/import_weights.h"
#include "wafer/models/saved_model.h"
#include "wafer/models/start_from.h"
#include "wafer/models/toml.h"

namespace wafer::cli {

namespace {
struct ImportArguments {
  std::string from, model, output = "model.safetensors", classes, mean, deviation;
  std::vector<std::string> options;
};

std::vector<float> numbers(const std::string& text, const char* option) {
  std::vector<float> values;
  for (const std::string& part : split(text, ',')) {
    char* end = nullptr;
    std::string word = trim(part);
    float value = std::strtof(word.c_str(), &end);
    WAFER_REQUIRE(!word.empty() && *end == 0, option, "'", text,
                  "' is no list of numbers; expected one like 0.485,0.456,0.406");
    values.push_back(value);
  }
  return values;
}

// One a line; without a file the classes' numbers.
std::vector<std::string> class_names(const ImportArguments& a, const models::DataSpec& spec) {
  std::vector<std::string> names;
  if (a.classes.empty()) {
    WAFER_REQUIRE(spec.task != data::Task::next_token, "--classes",
                  "a model of text needs a file with its characters, one a line, in the order of "
                  "their numbers");
    for (int64_t i = 0; spec.task == data::Task::classification && i < spec.outputs; ++i)
      names.push_back(std::to_string(i));
    return names;
  }
  std::string text = io::read_text_file(a.classes, 1 << 24);
  if (text.ends_with('\n')) text.pop_back();
  for (std::string& line : split(text, '\n')) {
    if (line.ends_with('\r')) line.pop_back();
    names.push_back(line);
  }
  WAFER_REQUIRE(static_cast<int64_t>(names.size()) == spec.outputs, a.classes, "holds ",
                names.size(), " lines; the model has ", spec.outputs, " outputs");
  return names;
}

data::InputKind kind_of(const Type& input, const std::string& model) {
  if (is_integer(input.dtype)) return data::InputKind::tokens;
  switch (input.shape.rank()) {
    case 1: return data::InputKind::features;
    case 2: return data::InputKind::frames;
    case 3: return data::InputKind::image;
    default: break;
  }
  throw UserError(model, str("takes ", input, ", for which there is no kind of input file"));
}

// How `wafer infer` makes the model's input from a file.
data::InputSpec input_spec(const ImportArguments& a, const models::Model& model) {
  const models::DataSpec& spec = model.spec;
  data::InputSpec input;
  data::Description& about = input.description;
  about.name = a.from;
  about.kind = kind_of(spec.input, a.model);
  about.task = spec.task;
  about.stored = about.kind == data::InputKind::image ? DType::u8 : DType::f32;
  about.shape = spec.input.shape.sizes();
  about.classes = class_names(a, spec);
  if (about.kind == data::InputKind::features) {
    for (int64_t i = 0; i < about.shape[0]; ++i) about.columns.push_back({std::to_string(i), {}});
  }
  if (about.kind == data::InputKind::frames) {
    about.audio.mels = about.shape[1];
    about.audio.samples = about.audio.window + (about.shape[0] - 1) * about.audio.hop;
  }
  bool colour = about.kind == data::InputKind::image && about.shape[0] == 3;
  auto given = [&](const std::string& text, std::vector<float> of_imagenet, const char* option) {
    if (text.empty()) return colour ? of_imagenet : std::vector<float>{};
    return numbers(text, option);
  };
  WAFER_REQUIRE(a.mean.empty() == a.deviation.empty(), "--mean", "goes with --std: give both");
  input.normalise = {given(a.mean, {0.485F, 0.456F, 0.406F}, "--mean"),
                     given(a.deviation, {0.229F, 0.224F, 0.225F}, "--std")};
  return data::InputSpec::from_json(input.to_json(), "--mean, --std");
}

Outcome run_import(const ImportArguments& a) {
  models::refuse_pickle(a.from);
  models::Options options = parse_options(a.options);
  models::Model model = a.model.ends_with(".toml") ? models::create_or_load(a.model, options)
                                                   : models::plan(a.model, options);
  data::InputSpec input = input_spec(a, model);
  for (const std::string& note : models::load_weights(model, a.from)) std::cerr << note << "\n";
  models::save_model(a.output, model, input);
  std::cerr << a.output << ": " << model.name << " with "
            << human_count(model.module->parameter_count()) << " parameters of " << a.from << "\n";
  if (!input.normalise.empty() && a.mean.empty())
    std::cerr << "inputs are normalised as ImageNet's; --mean and --std say otherwise\n";
  Outcome outcome;
  outcome.json = {
      {"model", model.name}, {"output", a.output}, {"parameters", model.module->parameter_count()}};
  return outcome;
}
}  // namespace

void add_import(CommandLine& line) {
  auto a = std::make_shared<ImportArguments>();
  Command command =
      line.add("import", "make a saved model of weights under PyTorch's names",
               "wafer import --from resnet18.safetensors --model resnet18 --classes imagenet.txt",
               [a](const Common&) { return run_import(*a); });
  command.option("--from", a->from, "a safetensors file with the weights").required();
  command.option("--model", a->model, "the named model (wafer models), or .toml file, they are of")
      .required();
  command.option("--option,-o", a->options, "option of the model as key=value; may be repeated");
  command.option("--output", a->output, "the file to write").show_default();
  command.option("--classes", a->classes, "a text file with the classes' names, one a line");
  command.option("--mean", a->mean,
                 "what is taken off each channel, of pixels from 0 to 1; images of three channels: "
                 "ImageNet's");
  command.option("--std", a->deviation, "what each channel is then divided by");
}

}  // namespace wafer::cli
