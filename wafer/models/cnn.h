#pragma once
#include "wafer/nn/conv.h"
#include "wafer/nn/linear.h"

namespace wafer::models {

// Two 3x3 convolutions with padding 1, each followed by ReLU and 2x2 max-pooling, then two linear
// layers. Images [batch, channels, height, width] -> [batch, outputs].
struct CnnOptions {
  int64_t channels = 3, height = 32, width = 32;
  int64_t outputs = 10;
  int64_t conv1 = 32, conv2 = 64, hidden = 512;
};

class Cnn : public nn::UnaryModule {
 public:
  explicit Cnn(const CnnOptions& options = {});
  Tensor forward(const Tensor& x) override;

  nn::Conv2d conv1, conv2;
  nn::Linear fc1, fc2;
};

}  // namespace wafer::models
