#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wafer/data/dataset.h"
#include "wafer/nn/loss.h"
#include "wafer/nn/module.h"

// Models by name or from a TOML file, for the command line and for those who write no C++.
namespace wafer::models {

using Options = std::map<std::string, std::string>;
using Task = data::Task;

// What a data set asks of a model.
struct DataSpec {
  Type input;           // of one sample: f32 [3x32x32], i64 [128] (tokens)
  int64_t outputs = 0;  // classes, size of the vocabulary, or numbers to predict
  Task task = Task::classification;
};
DataSpec spec_of(const data::Description& description);

struct Model {
  std::string name = {};  // "cnn": also the root of module paths
  Options options = {};   // every option with the value that was used
  std::string toml = {};  // the text that it was made from, where it was made from one
  std::unique_ptr<nn::UnaryModule> module;
  // module: [batch, input...] -> [batch, outputs], or [batch, length, outputs] for next_token.
  DataSpec spec;
  // The loss that goes with the task: cross-entropy (per position for next_token) or mean squares.
  nn::Loss loss() const;
};

struct OptionInfo {
  std::string name, default_value, help;
};
struct ModelInfo {
  std::string name, description;
  std::vector<OptionInfo> options;
};
// Every model that create knows.
const std::vector<ModelInfo>& list();

// A model with first values drawn from `seed`. `data`, if given, sets the options that describe
// input and outputs, unless `options` do. UserError with "did you mean" for an unknown name or
// option, and for a value that is not what the option takes.
Model create(const std::string& name, const Options& options = {}, const DataSpec* data = nullptr,
             uint64_t seed = 0);

// The same without values: names, shapes and graphs of any size at no cost. Its parameters can be
// read after load_state_dict or initialise.
Model plan(const std::string& name, const Options& options = {}, const DataSpec* data = nullptr);

// "3x32x32" as a shape; UserError otherwise.
Shape parse_shape(const std::string& text);

}  // namespace wafer::models
