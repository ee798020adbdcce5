#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "wafer/models/model.h"

namespace wafer::models {

// Gives a model the weights of a safetensors file under PyTorch's names; returns what a user should
// know, as lines. Floating weights of another type are cast; a prefix that all names share
// ("module.") is taken off; counters of batches (num_batches_tracked) may be missing. UserError
// that lists every missing, unexpected and misshapen name, with the nearest one of the other side;
// for a Python pickle with how to convert it.
std::vector<std::string> load_weights(Model& model, const std::filesystem::path& path);

}  // namespace wafer::models
