#include "wafer/models/mlp.h"

#include <functional>

#include "wafer/base/strings.h"
#include "wafer/models/options.h"
#include "wafer/nn/activation.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

namespace {
template <class Layer>
std::unique_ptr<nn::UnaryModule> make_layer() {
  return std::make_unique<Layer>();
}

using Maker = std::unique_ptr<nn::UnaryModule> (*)();
const std::vector<std::pair<std::string, Maker>> makers{
    {"relu", make_layer<nn::ReLU>},
    {"relu6", make_layer<nn::ReLU6>},
    {"gelu", make_layer<nn::GELU>},
    {"silu", make_layer<nn::SiLU>},
    {"tanh", make_layer<nn::Tanh>},
    {"sigmoid", make_layer<nn::Sigmoid>},
    {"leaky_relu", make_layer<nn::LeakyReLU>},
    {"elu", make_layer<nn::ELU>},
    {"softplus", make_layer<nn::Softplus>},
    {"hard_sigmoid", make_layer<nn::HardSigmoid>},
    {"hard_swish", make_layer<nn::HardSwish>},
    {"identity", make_layer<nn::Identity>},
};
}  // namespace

const std::vector<std::string>& activation_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const auto& [name, maker] : makers) result.push_back(name);
    return result;
  }();
  return names;
}

std::unique_ptr<nn::UnaryModule> make_activation(const std::string& name) {
  for (const auto& [known, maker] : makers) {
    if (known == name) return maker();
  }
  throw UserError("activation",
                  str("no activation '", name, "'", did_you_mean(name, activation_names()),
                      "; there are ", join(activation_names(), ", ")));
}

Mlp::Mlp(const MlpOptions& options)
    : activation_(make_activation(options.activation)), dropout_(options.dropout) {
  int64_t in = options.in;
  auto widths = options.hidden;
  widths.push_back(options.outputs);
  for (int64_t width : widths) {
    layers_.push_back(std::make_unique<nn::Linear>(in, width));
    add(str("fc", layers_.size()), *layers_.back());
    in = width;
  }
  add("dropout", dropout_);
}

Tensor Mlp::forward(const Tensor& x) {
  Tensor h = x.rank() > 2 ? flatten(x, 1) : x;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (i > 0) h = dropout_(activation_->forward(h));
    h = (*layers_[i])(h);
  }
  return h;
}

namespace {
Model build_mlp(const OptionValues& options) {
  Shape input = options.shape("input");
  Task task = options.task();
  if (task == Task::next_token) options.fail("task", "classification or regression");
  MlpOptions o{.in = input.elements(),
               .outputs = options.integer("outputs"),
               .hidden = options.integers("hidden"),
               .activation = options.choice("activation", activation_names()),
               .dropout = options.real("dropout", 0, 1)};
  return {.module = std::make_unique<Mlp>(o), .spec = {Type{DType::f32, input}, o.outputs, task}};
}
}  // namespace

Builder mlp_builder() {
  return {{"mlp",
           "linear layers with an activation between; for tables and small images",
           {{"input", "1x28x28", "shape of one sample, which is flattened"},
            {"outputs", "10", "number of classes, or of numbers to predict"},
            {"task", "classification", "classification or regression"},
            {"hidden", "512,256", "widths of the hidden layers"},
            {"activation", "relu", "activation between layers"},
            {"dropout", "0", "probability of dropout after each hidden layer"}}},
          build_mlp};
}

}  // namespace wafer::models
