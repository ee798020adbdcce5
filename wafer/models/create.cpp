#include "wafer/base/strings.h"
#include "wafer/models/options.h"

namespace wafer::models {

namespace {
const std::vector<Builder>& builders() {
  static const std::vector<Builder> all{mlp_builder(),  cnn_builder(), rnn_builder(),
                                        lstm_builder(), gru_builder(), transformer_builder()};
  return all;
}
}  // namespace

const std::vector<ModelInfo>& list() {
  static const std::vector<ModelInfo> infos = [] {
    std::vector<ModelInfo> result;
    for (const Builder& builder : builders()) result.push_back(builder.info);
    return result;
  }();
  return infos;
}

Model create(const std::string& name, const Options& options, const DataSpec* data, uint64_t seed) {
  std::vector<std::string> names;
  for (const Builder& builder : builders()) {
    names.push_back(builder.info.name);
    if (builder.info.name != name) continue;
    OptionValues values(builder.info, options, data);
    Model model = builder.build(values);
    model.name = name;
    model.options = values.all();
    model.module->set_name(name);
    model.module->initialise(seed);
    return model;
  }
  throw UserError("models", str("no model '", name, "'", did_you_mean(name, names), "; there are ",
                                join(names, ", "), ", and any .toml file that lists layers"));
}

DataSpec spec_of(const data::Description& description) {
  bool regression = description.task == Task::regression;
  return {Type{description.input_dtype(), Shape(description.shape)},
          regression ? 1 : static_cast<int64_t>(description.classes.size()), description.task};
}

nn::Loss Model::loss() const {
  switch (spec.task) {
    case Task::regression: return nn::mse;
    case Task::next_token: return nn::sequence_cross_entropy;
    default: return nn::cross_entropy;
  }
}

}  // namespace wafer::models
