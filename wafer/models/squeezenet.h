#pragma once
#include "wafer/models/vision.h"

namespace wafer::models {

struct SqueezeNetOptions {
  ImageOptions image = {};
  bool version_1_1 = false;  // a smaller stem and earlier pooling: 2.4 times less work
  double dropout = 0.5;
};

// Iandola et al. 2016. Images [batch, channels, height, width] -> [batch, outputs].
class SqueezeNet : public nn::UnaryModule {
 public:
  explicit SqueezeNet(const SqueezeNetOptions& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Sequential features, classifier;
};

}  // namespace wafer::models
