#include "wafer/nn/sequential.h"

namespace wafer::nn {

Sequential& Sequential::append(std::unique_ptr<UnaryModule> layer, const std::string& name) {
  WAFER_REQUIRE(layer != nullptr, "sequential", "a layer is null");
  add(name.empty() ? std::to_string(layers_.size()) : name, *layer);
  layers_.push_back(std::move(layer));
  return *this;
}

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (auto& layer : layers_) y = (*layer)(y);
  return y;
}

}  // namespace wafer::nn
