#pragma once
#include <memory>
#include <vector>

#include "wafer/models/vision.h"
#include "wafer/nn/conv.h"
#include "wafer/nn/linear.h"

namespace wafer::models {

struct ResNetOptions {
  ImageOptions image = {};
  std::vector<int64_t> blocks = {2, 2, 2, 2};  // of each of the four stages
  bool bottleneck = false;                     // blocks of 1x1, 3x3, 1x1 in place of two 3x3
  int64_t groups = 1, width_per_group = 64;    // of a bottleneck's 3x3: ResNeXt, wide ResNet
  bool cifar_stem = false;  // for small images: a 3x3 first convolution of stride 1, no pooling
};

// He et al. 2015 with the stride at the 3x3 convolution, as torchvision. Images [batch, channels,
// height, width] -> [batch, outputs].
class ResNet : public nn::UnaryModule {
 public:
  explicit ResNet(const ResNetOptions& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Sequential layer1, layer2, layer3, layer4;
  nn::Linear fc;

 private:
  bool cifar_stem_;
};

}  // namespace wafer::models
