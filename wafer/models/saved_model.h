#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "wafer/data/input_spec.h"
#include "wafer/models/model.h"

namespace wafer::models {

// The graph of a model as it is saved: in evaluation mode, for a batch of any size (the symbol
// `batch`). Inputs: parameters; buffers; the batch. Output: the model's. UserError where the model
// cannot be traced so, naming the layer.
Graph saved_graph(const Model& model);

// A model in one file: a safetensors file whose tensors are the weights under PyTorch's names, and
// whose metadata holds the graph (op/graph_json.h), how inputs are prepared, and, to be read by
// people, the model's name with its options or its TOML text. Data only: reading it runs no code.
void save_model(const std::filesystem::path& path, const Model& model,
                const data::InputSpec& input);

struct SavedModel {
  Model model;  // its module is an nn::GraphModule: the class it was trained as is not needed
  data::InputSpec input;
};
// UserError naming the file and what is wrong: not a model, of another version, a graph or weights
// that do not fit.
SavedModel load_model(const std::filesystem::path& path);

}  // namespace wafer::models
