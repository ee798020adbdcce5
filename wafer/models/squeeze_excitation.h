#pragma once
#include <memory>
#include <string>

#include "wafer/nn/conv.h"

namespace wafer::models {

// Hu et al. 2018: x [batch, channels, height, width] times, for each channel, gate(fc2(
// activation(fc1(mean over the image)))), where fc1 and fc2 are 1x1 convolutions.
class SqueezeExcitation : public nn::UnaryModule {
 public:
  SqueezeExcitation(int64_t channels, int64_t squeezed, const std::string& activation,
                    const std::string& gate);
  Tensor forward(const Tensor& x) override;

  nn::Conv2d fc1, fc2;

 private:
  std::unique_ptr<nn::UnaryModule> activation_, gate_;
};

}  // namespace wafer::models
