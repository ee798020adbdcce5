#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "wafer/data/description.h"
#include "wafer/models/model.h"

namespace wafer::models {

// A model to go on training, with the weights of a file.
struct Start {
  Model model;
  std::optional<data::Normalise> normalise;  // how inputs were shifted and scaled for the weights
  std::vector<std::string> notes;            // what a user should know: lines
};

// From an ONNX file, a run folder or a model file of wafer, for data of that description. A file of
// wafer gives the model that it was made from, by name and options or TOML text, so that batch norm
// and dropout train; where that cannot be, and from ONNX, the graph is trained as it stands, in
// evaluation mode. Where the data have another number of classes, the last layer is new, drawn from
// the seed. UserError when the data do not fit the model's input, and for files that are none of
// these.
Start start_from(const std::filesystem::path& path, const data::Description& data, uint64_t seed);

// The images that the file's model takes, channels x height x width; nothing where it takes
// something else, or images of any size. UserError where the file cannot be read.
std::optional<Shape> image_input(const std::filesystem::path& path);

// UserError for a Python pickle (PyTorch's .pt, .pth and .bin), which can hold programs, with the
// line of Python that makes a safetensors file of it. Looks at the file's first bytes.
void refuse_pickle(const std::filesystem::path& path);

}  // namespace wafer::models
