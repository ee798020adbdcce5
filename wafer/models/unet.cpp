#include "wafer/models/unet.h"

#include "wafer/nn/activation.h"
#include "wafer/nn/pool.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

struct UNet::DoubleConv : nn::UnaryModule {
  DoubleConv(int64_t in, int64_t out) {
    for (int64_t channels : {in, out}) {
      layers
          .append<nn::Conv2d>(nn::ConvLayerOptions{
              .in = channels, .out = out, .kernel = 3, .padding = 1, .bias = false})
          .append<nn::BatchNorm2d>(out)
          .append<nn::ReLU>();
    }
    add("double_conv", layers);
  }
  Tensor forward(const Tensor& x) override { return layers(x); }

  nn::Sequential layers;
};

// Twice the size by a transposed convolution, padded to that of `skip`, which is put before it.
struct UNet::Up : nn::Module {
  Up(int64_t in, int64_t out)
      : up({.in = in, .out = in / 2, .kernel = 2, .stride = 2}), conv(in, out) {
    add("up", up);
    add("conv", conv);
  }
  Tensor operator()(const Tensor& x, const Tensor& skip) {
    return call([&] {
      Tensor y = up(x);
      std::vector<int64_t> low(4, 0), high(4, 0);
      for (size_t i = 2; i < 4; ++i) {
        auto axis = static_cast<int>(i);
        int64_t missing = skip.size(axis) - y.size(axis);
        low[i] = missing / 2;
        high[i] = missing - low[i];
      }
      if (high[2] > 0 || high[3] > 0) y = pad(y, low, high);
      return conv(concat({skip, y}, 1));
    });
  }

  nn::ConvTranspose2d up;
  DoubleConv conv;
};

struct UNet::Last : nn::UnaryModule {
  Last(int64_t in, int64_t out) : conv({.in = in, .out = out, .kernel = 1}) { add("conv", conv); }
  Tensor forward(const Tensor& x) override { return conv(x); }

  nn::Conv2d conv;
};

namespace {
constexpr int levels = 4;

struct Down : nn::UnaryModule {
  explicit Down(std::unique_ptr<nn::UnaryModule> convolutions) {
    layers.append<nn::MaxPool2d>(2).append(std::move(convolutions));
    add("maxpool_conv", layers);
  }
  Tensor forward(const Tensor& x) override { return layers(x); }

  nn::Sequential layers;
};
}  // namespace

UNet::UNet(const UNetOptions& o) : inc_(std::make_unique<DoubleConv>(o.image.channels, o.width)) {
  add("inc", *inc_);
  int64_t channels = o.width;
  for (int i = 1; i <= levels; ++i, channels *= 2) {
    downs_.push_back(std::make_unique<Down>(std::make_unique<DoubleConv>(channels, 2 * channels)));
    add(str("down", i), *downs_.back());
  }
  for (int i = 1; i <= levels; ++i, channels /= 2) {
    ups_.push_back(std::make_unique<Up>(channels, channels / 2));
    add(str("up", i), *ups_.back());
  }
  outc_ = std::make_unique<Last>(channels, o.image.outputs);
  add("outc", *outc_);
}

UNet::~UNet() = default;

Tensor UNet::forward(const Tensor& x) {
  std::vector<Tensor> skips{(*inc_)(x)};
  for (auto& down : downs_) skips.push_back((*down)(skips.back()));
  Tensor y = skips.back();
  for (size_t i = 0; i < ups_.size(); ++i) y = (*ups_[i])(y, skips[ups_.size() - 1 - i]);
  return (*outc_)(y);
}

namespace {
Model build_unet(const OptionValues& options) {
  UNetOptions o{.image = read_image(options, 16), .width = options.integer("width", 2)};
  return image_model(options, std::make_unique<UNet>(o));
}
}  // namespace

Builder unet_builder() {
  return {{"unet",
           "U-Net: classifies each pixel of an image",
           {{"input", "3x256x256", "channels x height x width"},
            {"outputs", "2", "number of classes, or of numbers to predict for each pixel"},
            {"task", "classification", "classification or regression"},
            {"width", "64", "channels at full size"}}},
          build_unet};
}

}  // namespace wafer::models
