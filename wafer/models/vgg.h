#pragma once
#include <vector>

#include "wafer/models/vision.h"

namespace wafer::models {

// Both take images [batch, channels, height, width] -> [batch, outputs].

struct AlexNetOptions {
  ImageOptions image = {};
  int64_t hidden = 4096;  // width of the two hidden linear layers
  double dropout = 0.5;
};

// Krizhevsky 2014 ("One weird trick"), as torchvision.
class AlexNet : public nn::UnaryModule {
 public:
  explicit AlexNet(const AlexNetOptions& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Sequential features, classifier;
};

struct VggOptions {
  ImageOptions image = {};
  std::vector<int64_t> convolutions = {1, 1, 2, 2, 2};  // 3x3, of each stage before its pooling
  bool batch_norm = false;
  int64_t hidden = 4096;
  double dropout = 0.5;
};

// Simonyan and Zisserman 2014.
class Vgg : public nn::UnaryModule {
 public:
  explicit Vgg(const VggOptions& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Sequential features, classifier;
};

}  // namespace wafer::models
