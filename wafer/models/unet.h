#pragma once
#include <memory>
#include <vector>

#include "wafer/models/vision.h"
#include "wafer/nn/conv.h"

namespace wafer::models {

struct UNetOptions {
  ImageOptions image = {.channels = 3, .height = 256, .width = 256, .outputs = 2};
  int64_t width = 64;  // channels at full size; they double four times
};

// Ronneberger et al. 2015 with padded convolutions and batch norm. Images [batch, channels, height,
// width], at least 16 pixels each way -> logits of each pixel [batch, outputs, height, width]. The
// names of parameters are those of the PyTorch implementation that is known as Pytorch-UNet.
class UNet : public nn::UnaryModule {
 public:
  explicit UNet(const UNetOptions& options = {});
  ~UNet() override;
  Tensor forward(const Tensor& x) override;

 private:
  struct DoubleConv;
  struct Up;
  struct Last;
  std::unique_ptr<DoubleConv> inc_;
  std::vector<std::unique_ptr<nn::UnaryModule>> downs_;
  std::vector<std::unique_ptr<Up>> ups_;
  std::unique_ptr<Last> outc_;
};

}  // namespace wafer::models
