#pragma once
#include <string>
#include <vector>

#include "wafer/models/model.h"
#include "wafer/models/options.h"
#include "wafer/nn/norm.h"
#include "wafer/nn/sequential.h"
#include "wafer/nn/sizes.h"

// What the models of images share. Their names of parameters, layouts and first values are
// torchvision's, so that weights move both ways.
namespace wafer::models {

struct ImageOptions {
  int64_t channels = 3, height = 224, width = 224;
  int64_t outputs = 1000;
};

// Options `input`, `outputs` and `task`, then `further`.
std::vector<OptionInfo> image_option_list(const std::vector<OptionInfo>& further = {},
                                          const std::string& input = "3x224x224");
// UserError where `input` is no image of at least `least` pixels each way, or the task is
// next_token.
ImageOptions read_image(const OptionValues& options, int64_t least = 1);
// The model of those options.
Model image_model(const OptionValues& options, std::unique_ptr<nn::UnaryModule> module);

struct ConvNormOptions {
  int64_t in = 0, out = 0;
  int64_t kernel = 3, stride = 1, groups = 1;
  std::string activation = "relu";  // as make_activation; "": none
  nn::BatchNormOptions norm = {};
};

// Convolution without bias, padded by half its kernel ("0"), batch norm ("1") and activation:
// torchvision's Conv2dNormActivation.
class ConvNorm : public nn::Sequential {
 public:
  explicit ConvNorm(const ConvNormOptions& options);
};

// channels x scale, rounded to a multiple of 8 and by at most 10 % downwards.
int64_t scaled_channels(double channels, double scale = 1);

// x [batch, channels, height, width] -> [batch, channels], the mean over the image.
Tensor global_average(const Tensor& x);

// First values: convolutions He's by fan out; their biases 0.
void initialise_convolutions(nn::Module& model);
// And linear layers normal of the given deviation, their biases 0.
void initialise_convolutions_and_linear(nn::Module& model, double deviation);

}  // namespace wafer::models
