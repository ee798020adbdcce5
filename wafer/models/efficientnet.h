#pragma once
#include "wafer/models/vision.h"

namespace wafer::models {

struct EfficientNetOptions {
  ImageOptions image = {};
  double width = 1, depth = 1;  // scales of the numbers of channels and of blocks
  double dropout = 0.2;
  double stochastic_depth = 0.2;  // of the last block; less before it
};

// Tan and Le 2019. Images [batch, channels, height, width] -> [batch, outputs].
class EfficientNet : public nn::UnaryModule {
 public:
  explicit EfficientNet(const EfficientNetOptions& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Sequential features, classifier;
};

}  // namespace wafer::models
