#include "wafer/models/densenet.h"

#include "wafer/nn/activation.h"
#include "wafer/nn/conv.h"
#include "wafer/nn/pool.h"
#include "wafer/op/activation.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

namespace {
constexpr int64_t bottleneck_growth = 4;  // channels of the 1x1 convolution, by the growth

class DenseLayer : public nn::UnaryModule {
 public:
  DenseLayer(int64_t in, int64_t growth, double dropout)
      : norm1_(in),
        conv1_({.in = in, .out = bottleneck_growth * growth, .kernel = 1, .bias = false}),
        norm2_(bottleneck_growth * growth),
        conv2_({.in = bottleneck_growth * growth,
                .out = growth,
                .kernel = 3,
                .padding = 1,
                .bias = false}),
        dropout_(dropout) {
    add("norm1", norm1_);
    add("conv1", conv1_);
    add("norm2", norm2_);
    add("conv2", conv2_);
    add("dropout", dropout_);
  }
  Tensor forward(const Tensor& x) override {
    Tensor h = conv1_(relu(norm1_(x)));
    return dropout_(conv2_(relu(norm2_(h))));
  }

 private:
  nn::BatchNorm2d norm1_;
  nn::Conv2d conv1_;
  nn::BatchNorm2d norm2_;
  nn::Conv2d conv2_;
  nn::Dropout dropout_;
};

class DenseBlock : public nn::UnaryModule {
 public:
  DenseBlock(int64_t layers, int64_t in, int64_t growth, double dropout) {
    for (int64_t i = 0; i < layers; ++i) {
      layers_.push_back(std::make_unique<DenseLayer>(in + i * growth, growth, dropout));
      add(str("denselayer", i + 1), *layers_.back());
    }
  }
  Tensor forward(const Tensor& x) override {
    Tensor all = x;
    for (auto& layer : layers_) all = concat({all, (*layer)(all)}, 1);
    return all;
  }

 private:
  std::vector<std::unique_ptr<DenseLayer>> layers_;
};

// Halves channels and sizes.
std::unique_ptr<nn::Sequential> make_transition(int64_t in) {
  auto layers = std::make_unique<nn::Sequential>();
  layers->append(std::make_unique<nn::BatchNorm2d>(in), "norm");
  layers->append(std::make_unique<nn::ReLU>(), "relu");
  layers->append(std::make_unique<nn::Conv2d>(
                     nn::ConvLayerOptions{.in = in, .out = in / 2, .kernel = 1, .bias = false}),
                 "conv");
  layers->append(std::make_unique<nn::AvgPool2d>(2), "pool");
  return layers;
}
}  // namespace

DenseNet::DenseNet(const DenseNetOptions& o) {
  features.append(std::make_unique<nn::Conv2d>(nn::ConvLayerOptions{.in = o.image.channels,
                                                                    .out = o.stem,
                                                                    .kernel = 7,
                                                                    .stride = 2,
                                                                    .padding = 3,
                                                                    .bias = false}),
                  "conv0");
  features.append(std::make_unique<nn::BatchNorm2d>(o.stem), "norm0");
  features.append(std::make_unique<nn::ReLU>(), "relu0");
  features.append(
      std::make_unique<nn::MaxPool2d>(nn::PoolLayerOptions{.kernel = 3, .stride = 2, .padding = 1}),
      "pool0");
  int64_t in = o.stem;
  for (size_t i = 0; i < o.layers.size(); ++i) {
    features.append(std::make_unique<DenseBlock>(o.layers[i], in, o.growth, o.dropout),
                    str("denseblock", i + 1));
    in += o.layers[i] * o.growth;
    if (i + 1 == o.layers.size()) break;
    features.append(make_transition(in), str("transition", i + 1));
    in /= 2;
  }
  features.append(std::make_unique<nn::BatchNorm2d>(in), "norm5");
  classifier_ = std::make_unique<nn::Linear>(in, o.image.outputs);
  add("features", features);
  add("classifier", *classifier_);
  set_initialisers([this](const nn::Module& layer, const std::string& slot) {
    if (dynamic_cast<const nn::Conv2d*>(&layer)) return nn::init::kaiming_normal();
    bool last_bias = &layer == classifier_.get() && slot == "bias";
    return last_bias ? nn::init::zeros() : nn::init::Initialiser();
  });
}

Tensor DenseNet::forward(const Tensor& x) {
  return (*classifier_)(global_average(relu(features(x))));
}

namespace {
struct DenseNetVariant {
  const char *name, *description;
  std::vector<int64_t> layers;
  int64_t growth, stem;
};
const std::vector<DenseNetVariant>& densenet_variants() {
  static const std::vector<DenseNetVariant> all{
      {"densenet121", "densely connected, 121 layers", {6, 12, 24, 16}, 32, 64},
      {"densenet161", "densely connected, 161 wider layers", {6, 12, 36, 24}, 48, 96},
      {"densenet169", "densely connected, 169 layers", {6, 12, 32, 32}, 32, 64},
      {"densenet201", "densely connected, 201 layers", {6, 12, 48, 32}, 32, 64}};
  return all;
}

Model build_densenet(const OptionValues& options) {
  for (const DenseNetVariant& variant : densenet_variants()) {
    if (variant.name != options.model()) continue;
    DenseNetOptions o{.image = read_image(options, 29),
                      .layers = variant.layers,
                      .growth = variant.growth,
                      .stem = variant.stem,
                      .dropout = options.real("dropout", 0, 1)};
    return image_model(options, std::make_unique<DenseNet>(o));
  }
  WAFER_CHECK(false, "no DenseNet is named ", options.model());
}
}  // namespace

std::vector<Builder> densenet_builders() {
  std::vector<Builder> builders;
  for (const DenseNetVariant& variant : densenet_variants()) {
    auto options = image_option_list({{"dropout", "0", "probability of dropout after each layer"}});
    builders.push_back({{variant.name, variant.description, options}, build_densenet});
  }
  return builders;
}

}  // namespace wafer::models
