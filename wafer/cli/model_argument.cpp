#include "wafer/cli/model_argument.h"

#include "wafer/data/load.h"
#include "wafer/models/saved_model.h"
#include "wafer/models/toml.h"

namespace wafer::cli {

void add_model_options(Command& command, ModelArgument& argument) {
  command
      .option("model", argument.model,
              "a named model, a .toml file that lists layers, or a saved model.safetensors")
      .required();
  command.option("--data", argument.data, "a data set that says what goes in and comes out");
  command.option("--input", argument.input, "shape of one example, such as 3x32x32");
  command.option("--option,-o", argument.options,
                 "an option of the model as key=value; may be repeated");
  command.option("--batch-size", argument.batch_size, "examples in a batch").positive();
}

OpenedModel open_model(const ModelArgument& argument) {
  models::Options options;
  for (const std::string& text : argument.options) {
    size_t equals = text.find('=');
    WAFER_REQUIRE(equals != std::string::npos && equals > 0, "--option", "'", text,
                  "'; expected key=value");
    options[text.substr(0, equals)] = text.substr(equals + 1);
  }
  bool from_file = argument.model.ends_with(".toml");
  OpenedModel opened;
  if (argument.model.ends_with(".safetensors")) {
    opened.model = models::load_model(argument.model).model;
  } else if (!argument.data.empty()) {
    models::DataSpec spec = models::spec_of(data::load(argument.data).description());
    opened.model = models::create_or_load(argument.model, options, &spec);
  } else if (from_file && !argument.input.empty()) {
    models::DataSpec spec;
    spec.input = {DType::f32, models::parse_shape(argument.input)};
    opened.model = models::create_or_load(argument.model, options, &spec);
  } else {
    if (!argument.input.empty()) options["input"] = argument.input;
    opened.model = models::create_or_load(argument.model, options);
  }
  const models::DataSpec& spec = opened.model.spec;
  opened.input = spec.input;
  switch (spec.task) {
    case data::Task::classification: opened.target = {DType::i64, Shape{}}; break;
    case data::Task::regression: opened.target = {DType::f32, Shape{spec.outputs}}; break;
    case data::Task::next_token: opened.target = {DType::i64, spec.input.shape}; break;
  }
  return opened;
}

Objective OpenedModel::objective() {
  nn::UnaryModule* module = model.module.get();
  return {module, [module](const Tensor& x) { return (*module)(x); }, model.loss().function,
          model.spec.task != data::Task::regression};
}

Type with_batch(const Type& type, int64_t batch) {
  auto dims = type.shape.dims();
  dims.insert(dims.begin(), Dim(batch));
  return {type.dtype, Shape(std::move(dims))};
}

}  // namespace wafer::cli
