#pragma once
#include <memory>

#include "wafer/models/vision.h"
#include "wafer/nn/conv.h"
#include "wafer/nn/linear.h"
#include "wafer/nn/norm.h"

namespace wafer::models {

struct VitOptions {
  ImageOptions image = {};  // height and width are multiples of the patch
  int64_t patch = 16;       // pixels each way
  int64_t layers = 12, heads = 12, width = 768, feedforward = 3072;
  double dropout = 0;
};

// Vision transformer (Dosovitskiy et al. 2020). Images [batch, channels, height, width] -> [batch,
// outputs].
class Vit : public nn::UnaryModule {
 public:
  explicit Vit(const VitOptions& options = {});
  Tensor forward(const Tensor& x) override;

  Tensor class_token;  // [1, 1, width]
  nn::Conv2d conv_proj;

 private:
  // Positions, layers and the last norm, on [batch, patches + 1, width].
  struct Encoder : nn::UnaryModule {
    explicit Encoder(const VitOptions& options);
    Tensor forward(const Tensor& x) override;
    Tensor pos_embedding;  // [1, patches + 1, width]
    nn::Dropout dropout;
    nn::Sequential layers;
    nn::LayerNorm ln;
  };
  int64_t width_;
  Encoder encoder_;
  nn::Sequential heads_;
};

}  // namespace wafer::models
