#pragma once
#include <vector>

#include "wafer/models/vision.h"
#include "wafer/nn/linear.h"

namespace wafer::models {

struct DenseNetOptions {
  ImageOptions image = {};
  std::vector<int64_t> layers = {6, 12, 24, 16};  // of each block
  int64_t growth = 32;                            // channels that a layer adds
  int64_t stem = 64;                              // channels of the first convolution
  double dropout = 0;                             // after each layer
};

// Huang et al. 2016: each layer reads the outputs of all layers before it in its block. Images
// [batch, channels, height, width] -> [batch, outputs].
class DenseNet : public nn::UnaryModule {
 public:
  explicit DenseNet(const DenseNetOptions& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Sequential features;

 private:
  std::unique_ptr<nn::Linear> classifier_;
};

}  // namespace wafer::models
