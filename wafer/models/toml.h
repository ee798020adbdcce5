#pragma once
#include <filesystem>

#include "wafer/models/model.h"

namespace wafer::models {

// A model from a TOML file that lists layers:
//   name = "small"               # root of module paths; default: the file's name
//   input = [3, 32, 32]          # of one sample; a data set's or `data`'s takes its place
//   outputs = 10
//   [[layer]]
//   type = "conv2d"
//   name = "conv1"               # default: the layer's index, as in PyTorch's Sequential
//   out = 32
//   kernel = 3
//   padding = 1
// Numbers of inputs come from the layer before; a `linear` without `out` gives `outputs`. A
// `residual` layer adds its own list of layers ([[layer.layer]]) to its input. `vocabulary = 65`
// makes the input tokens. UserError naming file and line, with "did you mean", for an unknown type
// or key, a wrong value, or a layer that does not fit the one before. Without values while an
// nn::init::Deferred is alive.
Model from_toml(const std::filesystem::path& path, const DataSpec* data = nullptr,
                uint64_t seed = 0);
Model from_toml_text(const std::string& text, const std::string& where,
                     const DataSpec* data = nullptr, uint64_t seed = 0);

// The layer types and, of each, the keys that it takes: for messages and docs.
std::vector<std::pair<std::string, std::vector<std::string>>> toml_layers();

// A .toml path, else a name for create.
Model create_or_load(const std::string& name_or_path, const Options& options = {},
                     const DataSpec* data = nullptr, uint64_t seed = 0);

}  // namespace wafer::models
