#include "wafer/models/resnet.h"

#include "wafer/op/activation.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/pool.h"

namespace wafer::models {

namespace {
nn::ConvLayerOptions conv_options(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
                                  int64_t groups = 1) {
  return {.in = in,
          .out = out,
          .kernel = kernel,
          .stride = stride,
          .padding = kernel / 2,
          .groups = groups,
          .bias = false};
}

// A 1x1 convolution and batch norm where the block changes the shape; else nothing.
std::unique_ptr<nn::Sequential> make_downsample(int64_t in, int64_t out, int64_t stride) {
  if (stride == 1 && in == out) return nullptr;
  auto layers = std::make_unique<nn::Sequential>();
  layers->append<nn::Conv2d>(conv_options(in, out, 1, stride)).append<nn::BatchNorm2d>(out);
  return layers;
}

// Convolutions, each with batch norm ("conv1", "bn1", "conv2", ...) and ReLU between, whose result
// is added to the input.
class ResidualBlock : public nn::UnaryModule {
 public:
  ResidualBlock(const std::vector<nn::ConvLayerOptions>& convolutions, int64_t stride)
      : downsample_(make_downsample(convolutions.front().in, convolutions.back().out, stride)) {
    for (const nn::ConvLayerOptions& options : convolutions) {
      units_.push_back(std::make_unique<Unit>(options));
      add(str("conv", units_.size()), units_.back()->conv);
      add(str("bn", units_.size()), units_.back()->norm);
    }
    if (downsample_) add("downsample", *downsample_);
  }
  Tensor forward(const Tensor& x) override {
    Tensor y = x;
    for (const auto& unit : units_) {
      if (unit != units_.front()) y = relu(y);
      y = unit->norm(unit->conv(y));
    }
    return relu(y + (downsample_ ? (*downsample_)(x) : x));
  }

 private:
  struct Unit {
    explicit Unit(const nn::ConvLayerOptions& options) : conv(options), norm(options.out) {}
    nn::Conv2d conv;
    nn::BatchNorm2d norm;
  };
  std::vector<std::unique_ptr<Unit>> units_;
  std::unique_ptr<nn::Sequential> downsample_;
};

std::vector<nn::ConvLayerOptions> basic_block(int64_t in, int64_t out, int64_t stride) {
  return {conv_options(in, out, 3, stride), conv_options(out, out, 3)};
}

std::vector<nn::ConvLayerOptions> bottleneck(int64_t in, int64_t width, int64_t out, int64_t stride,
                                             int64_t groups) {
  return {conv_options(in, width, 1), conv_options(width, width, 3, stride, groups),
          conv_options(width, out, 1)};
}

constexpr int64_t bottleneck_expansion = 4;

int64_t features_of(const ResNetOptions& o) {
  return o.bottleneck ? 512 * bottleneck_expansion : 512;
}

nn::ConvLayerOptions stem(const ResNetOptions& o) {
  return o.cifar_stem ? conv_options(o.image.channels, 64, 3)
                      : conv_options(o.image.channels, 64, 7, 2);
}
}  // namespace

ResNet::ResNet(const ResNetOptions& o)
    : conv1(stem(o)), bn1(64), fc(features_of(o), o.image.outputs), cifar_stem_(o.cifar_stem) {
  WAFER_REQUIRE(o.blocks.size() == 4, "resnet", o.blocks.size(), " stages; expected 4");
  add("conv1", conv1);
  add("bn1", bn1);
  nn::Sequential* stages[] = {&layer1, &layer2, &layer3, &layer4};
  int64_t in = 64;
  for (size_t stage = 0; stage < 4; ++stage) {
    int64_t planes = int64_t{64} << stage;
    int64_t out = o.bottleneck ? planes * bottleneck_expansion : planes;
    for (int64_t block = 0; block < o.blocks[stage]; ++block) {
      int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      int64_t width = planes * o.width_per_group / 64 * o.groups;
      stages[stage]->append<ResidualBlock>(o.bottleneck
                                               ? bottleneck(in, width, out, stride, o.groups)
                                               : basic_block(in, out, stride),
                                           stride);
      in = out;
    }
    add(str("layer", stage + 1), *stages[stage]);
  }
  add("fc", fc);
  initialise_convolutions(*this);
}

Tensor ResNet::forward(const Tensor& x) {
  Tensor h = relu(bn1(conv1(x)));
  if (!cifar_stem_) h = max_pool2d(h, 3, 2, 1);
  return fc(global_average(layer4(layer3(layer2(layer1(h))))));
}

namespace {
struct ResNetVariant {
  const char *name, *description;
  std::vector<int64_t> blocks;
  bool bottleneck = false;
  int64_t groups = 1, width_per_group = 64;
};
const std::vector<ResNetVariant>& resnet_variants() {
  static const std::vector<ResNetVariant> all{
      {"resnet18", "residual network of 18 layers", {2, 2, 2, 2}},
      {"resnet34", "residual network of 34 layers", {3, 4, 6, 3}},
      {"resnet50", "residual network of 50 layers, in bottlenecks", {3, 4, 6, 3}, true},
      {"resnet101", "residual network of 101 layers, in bottlenecks", {3, 4, 23, 3}, true},
      {"resnet152", "residual network of 152 layers, in bottlenecks", {3, 8, 36, 3}, true},
      {"resnext50_32x4d", "resnet50 with grouped convolutions", {3, 4, 6, 3}, true, 32, 4},
      {"wide_resnet50_2", "resnet50 of twice the width", {3, 4, 6, 3}, true, 1, 128}};
  return all;
}

Model build_resnet(const OptionValues& options) {
  for (const ResNetVariant& variant : resnet_variants()) {
    if (variant.name != options.model()) continue;
    ResNetOptions o{.image = read_image(options),
                    .blocks = variant.blocks,
                    .bottleneck = variant.bottleneck,
                    .groups = variant.groups,
                    .width_per_group = variant.width_per_group,
                    .cifar_stem = options.choice("stem", {"imagenet", "cifar"}) == "cifar"};
    return image_model(options, std::make_unique<ResNet>(o));
  }
  WAFER_CHECK(false, "no ResNet is named ", options.model());
}
}  // namespace

std::vector<Builder> resnet_builders() {
  std::vector<Builder> builders;
  for (const ResNetVariant& variant : resnet_variants()) {
    auto options = image_option_list(
        {{"stem", "imagenet",
          "imagenet: 7x7 of stride 2 and pooling; cifar: 3x3, for images of 32x32"}});
    builders.push_back({{variant.name, variant.description, options}, build_resnet});
  }
  return builders;
}

}  // namespace wafer::models
