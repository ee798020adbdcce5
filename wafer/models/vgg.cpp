#include "wafer/models/vgg.h"

#include <algorithm>

#include "wafer/nn/activation.h"
#include "wafer/nn/conv.h"
#include "wafer/nn/linear.h"
#include "wafer/nn/pool.h"
#include "wafer/op/pool.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

AlexNet::AlexNet(const AlexNetOptions& o) {
  using Conv = nn::ConvLayerOptions;
  const nn::PoolLayerOptions pool{.kernel = 3, .stride = 2};
  features
      .append<nn::Conv2d>(
          Conv{.in = o.image.channels, .out = 64, .kernel = 11, .stride = 4, .padding = 2})
      .append<nn::ReLU>()
      .append<nn::MaxPool2d>(pool)
      .append<nn::Conv2d>(Conv{.in = 64, .out = 192, .kernel = 5, .padding = 2})
      .append<nn::ReLU>()
      .append<nn::MaxPool2d>(pool)
      .append<nn::Conv2d>(Conv{.in = 192, .out = 384, .kernel = 3, .padding = 1})
      .append<nn::ReLU>()
      .append<nn::Conv2d>(Conv{.in = 384, .out = 256, .kernel = 3, .padding = 1})
      .append<nn::ReLU>()
      .append<nn::Conv2d>(Conv{.in = 256, .out = 256, .kernel = 3, .padding = 1})
      .append<nn::ReLU>()
      .append<nn::MaxPool2d>(pool);
  classifier.append<nn::Dropout>(o.dropout)
      .append<nn::Linear>(256 * 6 * 6, o.hidden)
      .append<nn::ReLU>()
      .append<nn::Dropout>(o.dropout)
      .append<nn::Linear>(o.hidden, o.hidden)
      .append<nn::ReLU>()
      .append<nn::Linear>(o.hidden, o.image.outputs);
  add("features", features);
  add("classifier", classifier);
}

Tensor AlexNet::forward(const Tensor& x) {
  return classifier(flatten(adaptive_avg_pool(features(x), {6, 6}), 1));
}

Vgg::Vgg(const VggOptions& o) {
  int64_t in = o.image.channels, out = 64;
  for (int64_t count : o.convolutions) {
    for (int64_t i = 0; i < count; ++i) {
      features.append<nn::Conv2d>(
          nn::ConvLayerOptions{.in = in, .out = out, .kernel = 3, .padding = 1});
      if (o.batch_norm) features.append<nn::BatchNorm2d>(out);
      features.append<nn::ReLU>();
      in = out;
    }
    features.append<nn::MaxPool2d>(nn::PoolLayerOptions{.kernel = 2});
    out = std::min<int64_t>(2 * out, 512);
  }
  classifier.append<nn::Linear>(in * 7 * 7, o.hidden)
      .append<nn::ReLU>()
      .append<nn::Dropout>(o.dropout)
      .append<nn::Linear>(o.hidden, o.hidden)
      .append<nn::ReLU>()
      .append<nn::Dropout>(o.dropout)
      .append<nn::Linear>(o.hidden, o.image.outputs);
  add("features", features);
  add("classifier", classifier);
  initialise_convolutions_and_linear(*this, 0.01);
}

Tensor Vgg::forward(const Tensor& x) {
  return classifier(flatten(adaptive_avg_pool(features(x), {7, 7}), 1));
}

namespace {
Model build_alexnet(const OptionValues& options) {
  AlexNetOptions o{.image = read_image(options, 63),
                   .hidden = options.integer("hidden"),
                   .dropout = options.real("dropout", 0, 1)};
  return image_model(options, std::make_unique<AlexNet>(o));
}

struct VggVariant {
  const char *name, *description;
  std::vector<int64_t> convolutions;
  bool batch_norm;
};
const std::vector<VggVariant>& vgg_variants() {
  static const std::vector<VggVariant> all{
      {"vgg11", "3x3 convolutions, 11 layers", {1, 1, 2, 2, 2}, false},
      {"vgg11_bn", "vgg11 with batch norm", {1, 1, 2, 2, 2}, true},
      {"vgg13", "3x3 convolutions, 13 layers", {2, 2, 2, 2, 2}, false},
      {"vgg13_bn", "vgg13 with batch norm", {2, 2, 2, 2, 2}, true},
      {"vgg16", "3x3 convolutions, 16 layers", {2, 2, 3, 3, 3}, false},
      {"vgg16_bn", "vgg16 with batch norm", {2, 2, 3, 3, 3}, true},
      {"vgg19", "3x3 convolutions, 19 layers", {2, 2, 4, 4, 4}, false},
      {"vgg19_bn", "vgg19 with batch norm", {2, 2, 4, 4, 4}, true}};
  return all;
}

Model build_vgg(const OptionValues& options) {
  for (const VggVariant& variant : vgg_variants()) {
    if (variant.name != options.model()) continue;
    VggOptions o{.image = read_image(options, 32),
                 .convolutions = variant.convolutions,
                 .batch_norm = variant.batch_norm,
                 .hidden = options.integer("hidden"),
                 .dropout = options.real("dropout", 0, 1)};
    return image_model(options, std::make_unique<Vgg>(o));
  }
  WAFER_CHECK(false, "no VGG is named ", options.model());
}
}  // namespace

std::vector<Builder> vgg_builders() {
  auto options = image_option_list({{"hidden", "4096", "width of the two hidden linear layers"},
                                    {"dropout", "0.5", "probability of dropout"}});
  std::vector<Builder> builders{
      {{"alexnet", "five convolutions and three linear layers", options}, build_alexnet}};
  for (const VggVariant& variant : vgg_variants())
    builders.push_back({{variant.name, variant.description, options}, build_vgg});
  return builders;
}

}  // namespace wafer::models
