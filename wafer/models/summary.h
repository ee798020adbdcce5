#pragma once
#include <string>
#include <vector>

#include "wafer/ir/type.h"
#include "wafer/nn/module.h"

namespace wafer::models {

// One line of a summary: a module, or an op called outside the layers.
struct LayerInfo {
  std::string path;   // "cnn.conv1"
  std::string layer;  // "Conv2d{in=3, out=32, kernel=3, padding=1}", or an op's name
  Shape output;       // of one sample: without the batch where it comes first
  int64_t parameters = 0;
  double flops = 0;  // forward, of one sample
};

// Traces the model in evaluation mode on one sample of the given type (without batch) and lists its
// layers in the order of their calls. Errors of shapes are UserErrors with the layer's path.
std::vector<LayerInfo> layers(nn::UnaryModule& model, const Type& sample);
// The same as a table, with totals.
std::string summary(nn::UnaryModule& model, const Type& sample);

}  // namespace wafer::models
