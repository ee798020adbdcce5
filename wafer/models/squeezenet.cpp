#include "wafer/models/squeezenet.h"

#include "wafer/nn/activation.h"
#include "wafer/nn/conv.h"
#include "wafer/nn/linear.h"
#include "wafer/nn/pool.h"
#include "wafer/op/activation.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

namespace {
// A 1x1 convolution to few channels, then a 1x1 and a 3x3 side by side.
class Fire : public nn::UnaryModule {
 public:
  Fire(int64_t in, int64_t squeezed, int64_t expanded)
      : squeeze_({.in = in, .out = squeezed, .kernel = 1}),
        expand1x1_({.in = squeezed, .out = expanded, .kernel = 1}),
        expand3x3_({.in = squeezed, .out = expanded, .kernel = 3, .padding = 1}) {
    add("squeeze", squeeze_);
    add("expand1x1", expand1x1_);
    add("expand3x3", expand3x3_);
  }
  Tensor forward(const Tensor& x) override {
    Tensor h = relu(squeeze_(x));
    return concat({relu(expand1x1_(h)), relu(expand3x3_(h))}, 1);
  }

 private:
  nn::Conv2d squeeze_, expand1x1_, expand3x3_;
};
}  // namespace

SqueezeNet::SqueezeNet(const SqueezeNetOptions& o) {
  const nn::PoolLayerOptions pool{.kernel = 3, .stride = 2, .ceil_mode = true};
  bool small = o.version_1_1;
  int64_t in = small ? 64 : 96;
  features
      .append<nn::Conv2d>(nn::ConvLayerOptions{
          .in = o.image.channels, .out = in, .kernel = small ? 3 : 7, .stride = 2})
      .append<nn::ReLU>()
      .append<nn::MaxPool2d>(pool);
  const int64_t squeezed[] = {16, 16, 32, 32, 48, 48, 64, 64};
  for (int i = 0; i < 8; ++i) {
    bool pools = small ? i == 2 || i == 4 : i == 3 || i == 7;
    if (pools) features.append<nn::MaxPool2d>(pool);
    int64_t expanded = 4 * squeezed[i];
    features.append<Fire>(in, squeezed[i], expanded);
    in = 2 * expanded;
  }
  classifier.append<nn::Dropout>(o.dropout)
      .append<nn::Conv2d>(nn::ConvLayerOptions{.in = in, .out = o.image.outputs, .kernel = 1})
      .append<nn::ReLU>();
  add("features", features);
  add("classifier", classifier);
  set_initialisers([this](const nn::Module& layer, const std::string& slot) {
    if (!dynamic_cast<const nn::Conv2d*>(&layer)) return nn::init::Initialiser();
    if (slot == "bias") return nn::init::zeros();
    bool last = &layer == &classifier[1];
    return last ? nn::init::normal(0, 0.01) : nn::init::kaiming_uniform();
  });
}

Tensor SqueezeNet::forward(const Tensor& x) {
  return global_average(classifier(features(x)));
}

namespace {
Model build_squeezenet(const OptionValues& options) {
  SqueezeNetOptions o{.image = read_image(options, 21),
                      .version_1_1 = options.model() == "squeezenet1_1",
                      .dropout = options.real("dropout", 0, 1)};
  return image_model(options, std::make_unique<SqueezeNet>(o));
}
}  // namespace

std::vector<Builder> squeezenet_builders() {
  auto options =
      image_option_list({{"dropout", "0.5", "probability of dropout before the last layer"}});
  return {
      {{"squeezenet1_0", "few parameters: 1x1 convolutions before 3x3", options}, build_squeezenet},
      {{"squeezenet1_1", "squeezenet1_0 with 2.4 times less work", options}, build_squeezenet}};
}

}  // namespace wafer::models
