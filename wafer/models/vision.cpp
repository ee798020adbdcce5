#include "wafer/models/vision.h"

#include <algorithm>

#include "wafer/models/mlp.h"
#include "wafer/nn/conv.h"
#include "wafer/nn/linear.h"
#include "wafer/op/pool.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

std::vector<OptionInfo> image_option_list(const std::vector<OptionInfo>& further,
                                          const std::string& input) {
  std::vector<OptionInfo> options{
      {"input", input, "channels x height x width"},
      {"outputs", "1000", "number of classes, or of numbers to predict"},
      {"task", "classification", "classification or regression"}};
  options.insert(options.end(), further.begin(), further.end());
  return options;
}

ImageOptions read_image(const OptionValues& options, int64_t least) {
  Shape input = options.shape("input");
  if (input.rank() != 3 || input.size(1) < least || input.size(2) < least) {
    options.fail("input", str("an image, channels x height x width, at least ", least,
                              " pixels high and wide"));
  }
  if (options.task() == Task::next_token) options.fail("task", "classification or regression");
  return {.channels = input.size(0),
          .height = input.size(1),
          .width = input.size(2),
          .outputs = options.integer("outputs")};
}

Model image_model(const OptionValues& options, std::unique_ptr<nn::UnaryModule> module) {
  Type input{DType::f32, options.shape("input")};
  return {.module = std::move(module), .spec = {input, options.integer("outputs"), options.task()}};
}

ConvNorm::ConvNorm(const ConvNormOptions& o) {
  append<nn::Conv2d>(nn::ConvLayerOptions{.in = o.in,
                                          .out = o.out,
                                          .kernel = o.kernel,
                                          .stride = o.stride,
                                          .padding = (o.kernel - 1) / 2,
                                          .groups = o.groups,
                                          .bias = false});
  append<nn::BatchNorm2d>(o.out, o.norm);
  if (!o.activation.empty()) append(make_activation(o.activation));
}

int64_t scaled_channels(double channels, double scale) {
  double wanted = channels * scale;
  auto rounded = std::max<int64_t>(8, static_cast<int64_t>(wanted + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * wanted ? rounded + 8 : rounded;
}

Tensor global_average(const Tensor& x) {
  return flatten(adaptive_avg_pool(x, {1, 1}), 1);
}

namespace {
nn::init::Initialiser convolution_rule(const nn::Module& layer, const std::string& slot) {
  if (!dynamic_cast<const nn::Conv2d*>(&layer)) return {};
  return slot == "weight" ? nn::init::kaiming_normal_fan_out() : nn::init::zeros();
}
}  // namespace

void initialise_convolutions(nn::Module& model) {
  model.set_initialisers(convolution_rule);
}

void initialise_convolutions_and_linear(nn::Module& model, double deviation) {
  model.set_initialisers([&](const nn::Module& layer, const std::string& slot) {
    if (!dynamic_cast<const nn::Linear*>(&layer)) return convolution_rule(layer, slot);
    return slot == "weight" ? nn::init::normal(0, deviation) : nn::init::zeros();
  });
}

}  // namespace wafer::models
