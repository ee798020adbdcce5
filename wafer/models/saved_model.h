#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "wafer/data/input_spec.h"
#include "wafer/models/model.h"

namespace wafer::models {

// A model in one file: a safetensors file whose tensors are the weights under PyTorch's names, and
// whose metadata says which model it is, with its options or its TOML text, and how inputs are
// prepared. Data only: reading it runs no code. `toml`: the text that the model was made from;
// empty for a model by name.
void save_model(const std::filesystem::path& path, const Model& model, const data::InputSpec& input,
                const std::string& toml = "");

struct SavedModel {
  Model model;
  data::InputSpec input;
};
// UserError naming the file and what is wrong: not a model, of a newer version, or weights that do
// not fit.
SavedModel load_model(const std::filesystem::path& path);

}  // namespace wafer::models
