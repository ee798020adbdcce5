#include "wafer/models/efficientnet.h"

#include <algorithm>
#include <cmath>

#include "wafer/models/squeeze_excitation.h"
#include "wafer/nn/conv.h"
#include "wafer/nn/linear.h"
#include "wafer/nn/stochastic_depth.h"
#include "wafer/op/elementwise.h"

namespace wafer::models {

namespace {
struct Block {
  int64_t expansion, kernel, stride, in, out;
};

// Inverted residual with squeeze-and-excitation.
class MbConv : public nn::UnaryModule {
 public:
  MbConv(const Block& b, double stochastic_depth)
      : adds_input_(b.stride == 1 && b.in == b.out), stochastic_depth_(stochastic_depth) {
    int64_t expanded = scaled_channels(static_cast<double>(b.in * b.expansion));
    if (expanded != b.in) {
      block_.append<ConvNorm>(
          ConvNormOptions{.in = b.in, .out = expanded, .kernel = 1, .activation = "silu"});
    }
    block_.append<ConvNorm>(ConvNormOptions{.in = expanded,
                                            .out = expanded,
                                            .kernel = b.kernel,
                                            .stride = b.stride,
                                            .groups = expanded,
                                            .activation = "silu"});
    int64_t squeezed = std::max<int64_t>(1, b.in / 4);
    block_.append<SqueezeExcitation>(expanded, squeezed, "silu", "sigmoid");
    block_.append<ConvNorm>(
        ConvNormOptions{.in = expanded, .out = b.out, .kernel = 1, .activation = ""});
    add("block", block_);
    add("stochastic_depth", stochastic_depth_);
  }
  Tensor forward(const Tensor& x) override {
    Tensor y = block_(x);
    return adds_input_ ? stochastic_depth_(y) + x : y;
  }

 private:
  bool adds_input_;
  nn::Sequential block_;
  nn::StochasticDepth stochastic_depth_;
};

struct EfficientNetStage {
  int64_t expansion, kernel, stride, channels, blocks;
};
constexpr EfficientNetStage efficientnet_stages[] = {
    {1, 3, 1, 16, 1},  {6, 3, 2, 24, 2},  {6, 5, 2, 40, 2}, {6, 3, 2, 80, 3},
    {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4}, {6, 3, 1, 320, 1}};

int64_t blocks_of(const EfficientNetStage& stage, double depth) {
  return static_cast<int64_t>(std::ceil(static_cast<double>(stage.blocks) * depth));
}
}  // namespace

EfficientNet::EfficientNet(const EfficientNetOptions& o) {
  int64_t in = scaled_channels(32, o.width), total = 0, index = 0;
  for (const EfficientNetStage& stage : efficientnet_stages) total += blocks_of(stage, o.depth);
  features.append<ConvNorm>(
      ConvNormOptions{.in = o.image.channels, .out = in, .stride = 2, .activation = "silu"});
  for (const EfficientNetStage& stage : efficientnet_stages) {
    auto blocks = std::make_unique<nn::Sequential>();
    int64_t out = scaled_channels(static_cast<double>(stage.channels), o.width);
    for (int64_t i = 0; i < blocks_of(stage, o.depth); ++i) {
      double share = static_cast<double>(index++) / static_cast<double>(total);
      Block block{stage.expansion, stage.kernel, i == 0 ? stage.stride : 1, in, out};
      blocks->append<MbConv>(block, o.stochastic_depth * share);
      in = out;
    }
    features.append(std::move(blocks));
  }
  features.append<ConvNorm>(
      ConvNormOptions{.in = in, .out = 4 * in, .kernel = 1, .activation = "silu"});
  classifier.append<nn::Dropout>(o.dropout).append<nn::Linear>(4 * in, o.image.outputs);
  add("features", features);
  add("classifier", classifier);
  double bound = 1 / std::sqrt(static_cast<double>(o.image.outputs));
  initialise_convolutions(*this);
  classifier.set_initialisers([bound](const nn::Module&, const std::string& slot) {
    return slot == "weight" ? nn::init::uniform(-bound, bound) : nn::init::zeros();
  });
}

Tensor EfficientNet::forward(const Tensor& x) {
  return classifier(global_average(features(x)));
}

namespace {
struct EfficientNetVariant {
  const char* name;
  double width, depth;
  const char *dropout, *input;
};
constexpr EfficientNetVariant efficientnet_variants[] = {
    {"efficientnet_b0", 1.0, 1.0, "0.2", "3x224x224"},
    {"efficientnet_b1", 1.0, 1.1, "0.2", "3x240x240"},
    {"efficientnet_b2", 1.1, 1.2, "0.3", "3x288x288"},
    {"efficientnet_b3", 1.2, 1.4, "0.3", "3x300x300"}};

Model build_efficientnet(const OptionValues& options) {
  for (const EfficientNetVariant& variant : efficientnet_variants) {
    if (variant.name != options.model()) continue;
    EfficientNetOptions o{.image = read_image(options),
                          .width = variant.width,
                          .depth = variant.depth,
                          .dropout = options.real("dropout", 0, 1),
                          .stochastic_depth = options.real("stochastic_depth", 0, 1)};
    return image_model(options, std::make_unique<EfficientNet>(o));
  }
  WAFER_CHECK(false, "no EfficientNet is named ", options.model());
}
}  // namespace

std::vector<Builder> efficientnet_builders() {
  std::vector<Builder> builders;
  for (const EfficientNetVariant& variant : efficientnet_variants) {
    auto options = image_option_list(
        {{"dropout", variant.dropout, "probability of dropout before the last layer"},
         {"stochastic_depth", "0.2", "probability of leaving out the last block; less before it"}},
        variant.input);
    std::string description = "inverted residuals scaled in depth, width and image size";
    builders.push_back({{variant.name, description, options}, build_efficientnet});
  }
  return builders;
}

}  // namespace wafer::models
