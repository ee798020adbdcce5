#include "wafer/models/mobilenet_v2.h"

#include <algorithm>

#include "wafer/nn/conv.h"
#include "wafer/op/elementwise.h"

namespace wafer::models {

namespace {
// 1x1 to `expansion` times the channels, depthwise 3x3, 1x1 without activation; the input is added
// where the shape stays.
class InvertedResidual : public nn::UnaryModule {
 public:
  InvertedResidual(int64_t in, int64_t out, int64_t stride, int64_t expansion)
      : adds_input_(stride == 1 && in == out) {
    int64_t hidden = in * expansion;
    if (expansion != 1) {
      conv_.append<ConvNorm>(
          ConvNormOptions{.in = in, .out = hidden, .kernel = 1, .activation = "relu6"});
    }
    conv_.append<ConvNorm>(ConvNormOptions{
        .in = hidden, .out = hidden, .stride = stride, .groups = hidden, .activation = "relu6"});
    conv_.append<nn::Conv2d>(
        nn::ConvLayerOptions{.in = hidden, .out = out, .kernel = 1, .bias = false});
    conv_.append<nn::BatchNorm2d>(out);
    add("conv", conv_);
  }
  Tensor forward(const Tensor& x) override { return adds_input_ ? x + conv_(x) : conv_(x); }

 private:
  bool adds_input_;
  nn::Sequential conv_;
};

struct MobileNetStage {
  int64_t expansion, channels, blocks, stride;
};
constexpr MobileNetStage mobilenet_stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2},
                                               {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2},
                                               {6, 320, 1, 1}};
}  // namespace

MobileNetV2::MobileNetV2(const MobileNetV2Options& o) {
  int64_t in = scaled_channels(32, o.width), last = scaled_channels(1280, std::max(1.0, o.width));
  features.append<ConvNorm>(
      ConvNormOptions{.in = o.image.channels, .out = in, .stride = 2, .activation = "relu6"});
  for (const MobileNetStage& stage : mobilenet_stages) {
    int64_t out = scaled_channels(static_cast<double>(stage.channels), o.width);
    for (int64_t block = 0; block < stage.blocks; ++block) {
      features.append<InvertedResidual>(in, out, block == 0 ? stage.stride : 1, stage.expansion);
      in = out;
    }
  }
  features.append<ConvNorm>(
      ConvNormOptions{.in = in, .out = last, .kernel = 1, .activation = "relu6"});
  classifier.append<nn::Dropout>(o.dropout).append<nn::Linear>(last, o.image.outputs);
  add("features", features);
  add("classifier", classifier);
  initialise_convolutions_and_linear(*this, 0.01);
}

Tensor MobileNetV2::forward(const Tensor& x) {
  return classifier(global_average(features(x)));
}

namespace {
Model build_mobilenet_v2(const OptionValues& options) {
  MobileNetV2Options o{.image = read_image(options),
                       .width = options.real("width", 0.1, 10),
                       .dropout = options.real("dropout", 0, 1)};
  return image_model(options, std::make_unique<MobileNetV2>(o));
}
}  // namespace

std::vector<Builder> mobilenet_v2_builders() {
  return {
      {{"mobilenet_v2", "inverted residuals with depthwise convolutions; small and fast",
        image_option_list({{"width", "1", "scale of the numbers of channels"},
                           {"dropout", "0.2", "probability of dropout before the last layer"}})},
       build_mobilenet_v2}};
}

}  // namespace wafer::models
