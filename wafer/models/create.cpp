#include "wafer/base/strings.h"
#include "wafer/models/options.h"

namespace wafer::models {

namespace {
const std::vector<Builder>& builders() {
  static const std::vector<Builder> all = [] {
    std::vector<Builder> result{mlp_builder(),  cnn_builder(), rnn_builder(),
                                lstm_builder(), gru_builder(), transformer_builder(),
                                bert_builder(), gpt_builder(), unet_builder()};
    for (auto family :
         {vgg_builders, resnet_builders, squeezenet_builders, densenet_builders,
          mobilenet_v2_builders, mobilenet_v3_builders, efficientnet_builders, vit_builders}) {
      for (Builder& builder : family()) result.push_back(std::move(builder));
    }
    return result;
  }();
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

Model plan(const std::string& name, const Options& options, const DataSpec* data) {
  nn::init::Deferred without_values;
  std::vector<std::string> names;
  for (const Builder& builder : builders()) {
    names.push_back(builder.info.name);
    if (builder.info.name != name) continue;
    OptionValues values(builder.info, options, data);
    Model model = builder.build(values);
    model.name = name;
    model.options = values.all();
    model.module->set_name(name);
    return model;
  }
  throw UserError("models", str("no model '", name, "'", did_you_mean(name, names), "; there are ",
                                join(names, ", "), ", and any .toml file that lists layers"));
}

Model create(const std::string& name, const Options& options, const DataSpec* data, uint64_t seed) {
  Model model = plan(name, options, data);
  model.module->initialise(seed);
  return model;
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
