#include "wafer/models/mobilenet_v3.h"

#include "wafer/models/squeeze_excitation.h"
#include "wafer/nn/activation.h"
#include "wafer/nn/linear.h"
#include "wafer/op/elementwise.h"

namespace wafer::models {

namespace {
// Tables 1 and 2 of the paper.
struct Row {
  int64_t kernel, expanded, out;
  bool squeeze, hard_swish;
  int64_t stride;
};
const std::vector<Row> large_rows{
    {3, 16, 16, false, false, 1}, {3, 64, 24, false, false, 2}, {3, 72, 24, false, false, 1},
    {5, 72, 40, true, false, 2},  {5, 120, 40, true, false, 1}, {5, 120, 40, true, false, 1},
    {3, 240, 80, false, true, 2}, {3, 200, 80, false, true, 1}, {3, 184, 80, false, true, 1},
    {3, 184, 80, false, true, 1}, {3, 480, 112, true, true, 1}, {3, 672, 112, true, true, 1},
    {5, 672, 160, true, true, 2}, {5, 960, 160, true, true, 1}, {5, 960, 160, true, true, 1}};
const std::vector<Row> small_rows{
    {3, 16, 16, true, false, 2}, {3, 72, 24, false, false, 2}, {3, 88, 24, false, false, 1},
    {5, 96, 40, true, true, 2},  {5, 240, 40, true, true, 1},  {5, 240, 40, true, true, 1},
    {5, 120, 48, true, true, 1}, {5, 144, 48, true, true, 1},  {5, 288, 96, true, true, 2},
    {5, 576, 96, true, true, 1}, {5, 576, 96, true, true, 1}};

const nn::BatchNormOptions norm_options{.eps = 0.001, .momentum = 0.01};

class InvertedResidualV3 : public nn::UnaryModule {
 public:
  InvertedResidualV3(int64_t in, const Row& row, double width) {
    int64_t expanded = scaled_channels(static_cast<double>(row.expanded), width);
    int64_t out = scaled_channels(static_cast<double>(row.out), width);
    const char* activation = row.hard_swish ? "hard_swish" : "relu";
    adds_input_ = row.stride == 1 && in == out;
    if (expanded != in) {
      block_.append<ConvNorm>(ConvNormOptions{
          .in = in, .out = expanded, .kernel = 1, .activation = activation, .norm = norm_options});
    }
    block_.append<ConvNorm>(ConvNormOptions{.in = expanded,
                                            .out = expanded,
                                            .kernel = row.kernel,
                                            .stride = row.stride,
                                            .groups = expanded,
                                            .activation = activation,
                                            .norm = norm_options});
    if (row.squeeze) {
      int64_t squeezed = scaled_channels(static_cast<double>(expanded / 4));
      block_.append<SqueezeExcitation>(expanded, squeezed, "relu", "hard_sigmoid");
    }
    block_.append<ConvNorm>(ConvNormOptions{
        .in = expanded, .out = out, .kernel = 1, .activation = "", .norm = norm_options});
    add("block", block_);
  }
  Tensor forward(const Tensor& x) override { return adds_input_ ? block_(x) + x : block_(x); }

 private:
  bool adds_input_ = false;
  nn::Sequential block_;
};
}  // namespace

MobileNetV3::MobileNetV3(const MobileNetV3Options& o) {
  int64_t in = scaled_channels(16, o.width);
  features.append<ConvNorm>(ConvNormOptions{.in = o.image.channels,
                                            .out = in,
                                            .stride = 2,
                                            .activation = "hard_swish",
                                            .norm = norm_options});
  for (const Row& row : o.large ? large_rows : small_rows) {
    features.append<InvertedResidualV3>(in, row, o.width);
    in = scaled_channels(static_cast<double>(row.out), o.width);
  }
  features.append<ConvNorm>(ConvNormOptions{
      .in = in, .out = 6 * in, .kernel = 1, .activation = "hard_swish", .norm = norm_options});
  int64_t last = scaled_channels(o.large ? 1280 : 1024, o.width);
  classifier.append<nn::Linear>(6 * in, last)
      .append<nn::HardSwish>()
      .append<nn::Dropout>(o.dropout)
      .append<nn::Linear>(last, o.image.outputs);
  add("features", features);
  add("classifier", classifier);
  initialise_convolutions_and_linear(*this, 0.01);
}

Tensor MobileNetV3::forward(const Tensor& x) {
  return classifier(global_average(features(x)));
}

namespace {
Model build_mobilenet_v3(const OptionValues& options) {
  MobileNetV3Options o{.image = read_image(options),
                       .large = options.model() == "mobilenet_v3_large",
                       .width = options.real("width", 0.1, 10),
                       .dropout = options.real("dropout", 0, 1)};
  return image_model(options, std::make_unique<MobileNetV3>(o));
}
}  // namespace

std::vector<Builder> mobilenet_v3_builders() {
  auto options =
      image_option_list({{"width", "1", "scale of the numbers of channels"},
                         {"dropout", "0.2", "probability of dropout before the last layer"}});
  return {
      {{"mobilenet_v3_small", "inverted residuals with squeeze-and-excitation; fastest", options},
       build_mobilenet_v3},
      {{"mobilenet_v3_large", "the same with more layers", options}, build_mobilenet_v3}};
}

}  // namespace wafer::models
