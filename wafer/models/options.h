#pragma once
#include <string>
#include <vector>

#include "wafer/models/model.h"

namespace wafer::models {

// A model's options with their values, checked as they are read.
class OptionValues {
 public:
  // UserError for a given option that `info` has not. `data`'s values stand in for defaults.
  OptionValues(const ModelInfo& info, const Options& given, const DataSpec* data);

  const std::string& model() const { return model_; }  // its name
  const std::string& text(const std::string& name) const;
  int64_t integer(const std::string& name, int64_t least = 1) const;
  // A whole number that divides the one of option `of`.
  int64_t divisor(const std::string& name, const std::string& of) const;
  double real(const std::string& name, double low, double high) const;
  bool flag(const std::string& name) const;
  // "512,256"; "" is none.
  std::vector<int64_t> integers(const std::string& name) const;
  Shape shape(const std::string& name) const;
  // A number of tokens, at most `positions`, as a shape.
  Shape tokens(const std::string& name, int64_t positions) const;
  // One of `choices`.
  std::string choice(const std::string& name, const std::vector<std::string>& choices) const;
  Task task() const;

  const Options& all() const { return values_; }
  // A UserError about one option.
  [[noreturn]] void fail(const std::string& name, const std::string& expected) const;

 private:
  std::string model_;
  Options values_;
};

// One model of the table: what it is and how it is built.
struct Builder {
  ModelInfo info;
  Model (*build)(const OptionValues& options);
};

Builder mlp_builder();
Builder cnn_builder();
Builder rnn_builder();
Builder lstm_builder();
Builder gru_builder();
Builder transformer_builder();
std::vector<Builder> resnet_builders();
std::vector<Builder> mobilenet_v2_builders();
std::vector<Builder> mobilenet_v3_builders();
std::vector<Builder> efficientnet_builders();
std::vector<Builder> vgg_builders();  // and AlexNet
std::vector<Builder> squeezenet_builders();
std::vector<Builder> densenet_builders();
std::vector<Builder> vit_builders();
Builder unet_builder();
Builder bert_builder();
Builder gpt_builder();

}  // namespace wafer::models
