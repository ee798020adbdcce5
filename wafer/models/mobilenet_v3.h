#pragma once
#include "wafer/models/vision.h"

namespace wafer::models {

struct MobileNetV3Options {
  ImageOptions image = {};
  bool large = true;
  double width = 1;  // scale of the numbers of channels
  double dropout = 0.2;
};

// Howard et al. 2019. Images [batch, channels, height, width] -> [batch, outputs].
class MobileNetV3 : public nn::UnaryModule {
 public:
  explicit MobileNetV3(const MobileNetV3Options& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Sequential features, classifier;
};

}  // namespace wafer::models
