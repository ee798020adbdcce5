#include <iostream>

#include "wafer/base/error.h"
#include "wafer/cli/onnx.h"
#include "wafer/cli/settings.h"
#include "wafer/models/summary.h"
#include "wafer/models/toml.h"

namespace wafer::cli {

void add_check(CommandLine& line) {
  struct Arguments {
    std::string model, input;
    std::vector<std::string> options;
    int64_t batch = 1;
  };
  auto a = std::make_shared<Arguments>();
  Command command =
      line.add("check", "trace a model without data: finds wrong shapes, prints its layers",
               "wafer check model.toml --input 3x32x32", [a](const Common&) {
                 if (is_onnx(a->model)) return check_onnx(a->model, a->batch);
                 models::DataSpec spec;
                 bool described = !a->input.empty();
                 if (described) spec.input = {DType::f32, models::parse_shape(a->input)};
                 bool from_file = a->model.ends_with(".toml");
                 models::Model model = models::create_or_load(
                     a->model, parse_options(a->options), described && from_file ? &spec : nullptr);
                 Type sample = described ? spec.input : model.spec.input;
                 std::cout << models::summary(*model.module, sample);
                 Outcome outcome;
                 outcome.json["parameters"] = model.module->parameter_count();
                 return outcome;
               });
  command.option("model", a->model, "a named model, a .toml or an .onnx file").required();
  command.option("--batch-size", a->batch, "ONNX: what symbolic dimensions are").positive();
  command.option("--input", a->input, "shape of one example, for example 3x32x32");
  command.option("--option,-o", a->options, "option of the model as key=value; may be repeated");
}

}  // namespace wafer::cli
