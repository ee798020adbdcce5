#pragma once
#include "wafer/models/vision.h"
#include "wafer/nn/linear.h"

namespace wafer::models {

struct MobileNetV2Options {
  ImageOptions image = {};
  double width = 1;  // scale of the numbers of channels
  double dropout = 0.2;
};

// Sandler et al. 2018. Images [batch, channels, height, width] -> [batch, outputs].
class MobileNetV2 : public nn::UnaryModule {
 public:
  explicit MobileNetV2(const MobileNetV2Options& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Sequential features, classifier;
};

}  // namespace wafer::models
