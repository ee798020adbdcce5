#include <filesystem>
#include <iostream>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/cli/onnx.h"
#include "wafer/cli/run_folder.h"
#include "wafer/models/export.h"
#include "wafer/models/saved_model.h"
#include "wafer/models/toml.h"

namespace wafer::cli {

namespace {
namespace fs = std::filesystem;

struct ExportArguments {
  std::string model, input, onnx, weights;
  std::vector<std::string> options;
  int64_t opset = 0;
  bool external = false;
};

// What was trained, or a model by name or from a .toml file with first values.
models::Model open(const ExportArguments& a) {
  WAFER_REQUIRE(!is_onnx(a.model), "export", "'", a.model,
                "' is an ONNX file already; give a run folder, a model.safetensors, a model's "
                "name or a .toml file");
  fs::path path = a.model;
  bool folder = fs::is_directory(path);
  if (folder || a.model.ends_with(".safetensors")) {
    WAFER_REQUIRE(a.options.empty() && a.input.empty(), "export",
                  "a trained model has its options and input; leave --option and --input out");
    return models::load_model(folder ? RunFolder{path}.model() : path).model;
  }
  models::DataSpec spec;
  models::Options options = parse_options(a.options);
  bool described = !a.input.empty(), from_file = a.model.ends_with(".toml");
  if (described && from_file) spec.input = {DType::f32, models::parse_shape(a.input)};
  if (described && !from_file) options["input"] = a.input;
  return models::create_or_load(a.model, options, described && from_file ? &spec : nullptr);
}

// The size of a file that was written.
Json written(const std::string& path) {
  auto bytes = fs::file_size(path);
  std::cout << "wrote " << path << " (" << human_bytes(static_cast<double>(bytes)) << ")\n";
  return {{"file", path}, {"bytes", bytes}};
}

Outcome run(const ExportArguments& a) {
  WAFER_REQUIRE(!a.onnx.empty() || !a.weights.empty(), "export",
                "to what? Give --onnx FILE.onnx, --weights FILE.safetensors or both");
  WAFER_REQUIRE(a.onnx.empty() || is_onnx(a.onnx), "--onnx", "'", a.onnx,
                "'; expected a name that ends with .onnx");
  WAFER_REQUIRE(a.weights.empty() || a.weights.ends_with(".safetensors"), "--weights", "'",
                a.weights, "'; expected a name that ends with .safetensors");
  WAFER_REQUIRE(!a.onnx.empty() || (a.opset == 0 && !a.external), "export",
                "--opset and --external-data say how --onnx writes; give --onnx FILE.onnx");
  models::Model model = open(a);
  Outcome outcome;
  outcome.json["parameters"] = model.module->parameter_count();
  if (!a.onnx.empty()) {
    fs::path data =
        models::export_onnx(a.onnx, model, {.opset = a.opset, .external_data = a.external});
    outcome.json["onnx"] = written(a.onnx);
    if (!data.empty()) outcome.json["external_data"] = written(data.string());
  }
  if (!a.weights.empty()) {
    models::export_weights(a.weights, model);
    outcome.json["weights"] = written(a.weights);
  }
  return outcome;
}
}  // namespace

void add_export(CommandLine& line) {
  auto a = std::make_shared<ExportArguments>();
  Command command = line.add("export", "write a model for other programs: ONNX, or its weights",
                             "wafer export runs/cnn-cifar10-1 --onnx cnn.onnx",
                             [a](const Common&) { return run(*a); });
  command
      .option("model", a->model, "a run folder, a model.safetensors, a named model or a .toml file")
      .required();
  command.option("--onnx", a->onnx, "the ONNX file to write; the batch may be of any size");
  command.option("--opset", a->opset, "the ONNX operator set, 17 to 27; without, the newest")
      .positive();
  command.flag("--external-data", a->external,
               "ONNX: the weights in a file beside it, FILE.onnx.data");
  command.option("--weights", a->weights,
                 "the safetensors file to write: weights under PyTorch's names");
  command.option("--input", a->input, "shape of one example, for example 3x32x32");
  command.option("--option,-o", a->options, "option of the model as key=value; may be repeated");
}

}  // namespace wafer::cli
