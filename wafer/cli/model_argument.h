#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wafer/cli/command.h"
#include "wafer/models/model.h"
#include "wafer/train/step.h"

namespace wafer::cli {

// The arguments that say which model a command is about.
struct ModelArgument {
  std::string model;                 // a name, a .toml or a .safetensors file
  std::string data;                  // a data set that sets input and outputs; may be empty
  std::string input;                 // "3x32x32"; may be empty
  std::vector<std::string> options;  // "hidden=256"
  int64_t batch_size = 64;
};

// MODEL, --data, --input, --set and --batch-size.
void add_model_options(Command& command, ModelArgument& argument);

// The model, with one data type for its inputs and one for its targets, both without the batch.
struct OpenedModel {
  models::Model model;
  Type input, target;

  Objective objective();  // refers to this object's module
};
OpenedModel open_model(const ModelArgument& argument);

// The same type with a batch dimension in front.
Type with_batch(const Type& type, int64_t batch);

}  // namespace wafer::cli
