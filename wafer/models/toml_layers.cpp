#include "wafer/models/mlp.h"
#include "wafer/models/toml_reader.h"
#include "wafer/nn/nn.h"

// The layer types of models from files: each reads its keys and makes an nn module.
namespace wafer::models {

namespace {
using Layer = std::unique_ptr<nn::UnaryModule>;

Layer make_linear(const LayerContext& c) {
  std::optional<int64_t> outputs;
  if (c.spec.outputs > 0) outputs = c.spec.outputs;
  int64_t out = c.table.integer("out", outputs);
  return std::make_unique<nn::Linear>(c.table.integer("in", c.size(-1, 1)), out,
                                      nn::LinearOptions{.bias = c.table.flag("bias", true)});
}

// What convolutions and transposed ones have in common: all but the padding.
template <class Options>
Options read_conv_options(const LayerContext& c, int dimensions) {
  Options o;
  o.in = c.table.integer("in", c.size(1, dimensions + 2));
  o.out = c.table.integer("out");
  o.kernel = c.table.sizes("kernel", {}, 1);
  o.stride = c.table.sizes("stride", 1, 1);
  o.dilation = c.table.sizes("dilation", 1, 1);
  o.groups = c.table.integer("groups", 1);
  o.bias = c.table.flag("bias", true);
  return o;
}

template <int dimensions>
Layer make_conv(const LayerContext& c) {
  auto o = read_conv_options<nn::ConvLayerOptions>(c, dimensions);
  // "same", or numbers.
  bool is_text = c.table.is_text("padding");
  if (is_text && c.table.text("padding", "") != "same") {
    c.table.fail("padding", "numbers or \"same\"");
  }
  o.same_padding = is_text;
  if (!is_text) o.padding = c.table.sizes("padding", 0);
  return std::make_unique<nn::Conv<dimensions>>(o);
}

template <int dimensions>
Layer make_conv_transpose(const LayerContext& c) {
  auto o = read_conv_options<nn::ConvTransposeLayerOptions>(c, dimensions);
  o.padding = c.table.sizes("padding", 0);
  o.output_padding = c.table.sizes("output_padding", 0);
  return std::make_unique<nn::ConvTranspose<dimensions>>(o);
}

template <class Pool>
Layer make_pool(const LayerContext& c) {
  nn::PoolLayerOptions o;
  o.kernel = c.table.sizes("kernel", {}, 1);
  o.stride = c.table.sizes("stride", nn::Sizes{}, 1);
  o.padding = c.table.sizes("padding", 0);
  o.ceil_mode = c.table.flag("ceil_mode", false);
  o.count_padding = c.table.flag("count_padding", true);
  return std::make_unique<Pool>(o);
}

template <class Pool>
Layer make_adaptive_pool(const LayerContext& c) {
  return std::make_unique<Pool>(c.table.sizes("size", {}, 1));
}

Layer make_batch_norm(const LayerContext& c) {
  int64_t channels = c.size(1, 2);
  nn::BatchNormOptions o{.eps = c.table.real("eps", 1e-5),
                         .momentum = c.table.real("momentum", 0.1)};
  if (c.input.rank() <= 3) return std::make_unique<nn::BatchNorm1d>(channels, o);
  if (c.input.rank() == 4) return std::make_unique<nn::BatchNorm2d>(channels, o);
  return std::make_unique<nn::BatchNorm3d>(channels, o);
}

Layer make_layer_norm(const LayerContext& c) {
  return std::make_unique<nn::LayerNorm>(c.size(-1, 2),
                                         nn::LayerNormOptions{.eps = c.table.real("eps", 1e-5)});
}
Layer make_rms_norm(const LayerContext& c) {
  return std::make_unique<nn::RMSNorm>(c.size(-1, 2),
                                       nn::RMSNormOptions{.eps = c.table.real("eps", 1e-6)});
}
Layer make_group_norm(const LayerContext& c) {
  return std::make_unique<nn::GroupNorm>(c.table.integer("groups"), c.size(1, 2),
                                         nn::GroupNormOptions{.eps = c.table.real("eps", 1e-5)});
}

Layer make_dropout(const LayerContext& c) {
  return std::make_unique<nn::Dropout>(c.table.real("probability", 0.5));
}

Layer make_stochastic_depth(const LayerContext& c) {
  return std::make_unique<nn::StochasticDepth>(c.table.real("probability", 0.1));
}

Layer make_flatten(const LayerContext& c) {
  return std::make_unique<nn::Flatten>(static_cast<int>(c.table.integer("start", 1, -8)),
                                       static_cast<int>(c.table.integer("end", -1, -8)));
}

Layer make_embedding(const LayerContext& c) {
  std::optional<int64_t> vocabulary;
  if (c.vocabulary > 0) vocabulary = c.vocabulary;
  nn::EmbeddingOptions o{.padding_index = c.table.integer("padding_index", -1, -1),
                         .deviation = c.table.real("deviation", 1)};
  return std::make_unique<nn::Embedding>(c.table.integer("entries", vocabulary),
                                         c.table.integer("width"), o);
}

Layer make_positional_embedding(const LayerContext& c) {
  int64_t length = c.table.integer("length", c.size(1, 3));
  return std::make_unique<nn::PositionalEmbedding>(length, c.size(2, 3));
}

template <nn::RecurrentKind kind>
Layer make_recurrent(const LayerContext& c) {
  nn::RecurrentLayerOptions o{.layers = c.table.integer("layers", 1),
                              .bias = c.table.flag("bias", true),
                              .batch_first = true,
                              .dropout = c.table.real("dropout", 0),
                              .bidirectional = c.table.flag("bidirectional", false)};
  return std::make_unique<nn::Recurrent>(kind, c.size(2, 3), c.table.integer("hidden"), o);
}

nn::TransformerEncoderLayerOptions encoder_options(const LayerContext& c) {
  return {.feedforward = c.table.integer("feedforward", 4 * c.size(2, 3)),
          .dropout = c.table.real("dropout", 0.1),
          .activation = c.table.text("activation", "relu"),
          .norm_first = c.table.flag("norm_first", false),
          .batch_first = true,
          .causal = c.table.flag("causal", false)};
}
Layer make_encoder_layer(const LayerContext& c) {
  return std::make_unique<nn::TransformerEncoderLayer>(c.size(2, 3), c.table.integer("heads"),
                                                       encoder_options(c));
}
Layer make_encoder(const LayerContext& c) {
  return std::make_unique<nn::TransformerEncoder>(c.table.integer("layers"), c.size(2, 3),
                                                  c.table.integer("heads"), encoder_options(c),
                                                  c.table.flag("final_norm", false));
}

template <class L>
Layer make_plain(const LayerContext&) {
  return std::make_unique<L>();
}

Layer make_gelu(const LayerContext& c) {
  return std::make_unique<nn::GELU>(c.table.flag("approximate", false));
}
Layer make_leaky_relu(const LayerContext& c) {
  return std::make_unique<nn::LeakyReLU>(c.table.real("negative_slope", 0.01));
}
Layer make_elu(const LayerContext& c) {
  return std::make_unique<nn::ELU>(c.table.real("alpha", 1));
}

std::vector<LayerType> make_types() {
  using Keys = std::vector<std::string>;
  const Keys conv{"in", "out", "kernel", "stride", "padding", "dilation", "groups", "bias"};
  Keys transpose = conv;
  transpose.insert(transpose.begin() + 5, "output_padding");
  const Keys pool{"kernel", "stride", "padding", "ceil_mode"};
  Keys average = pool;
  average.push_back("count_padding");
  const Keys recurrent{"hidden", "layers", "bidirectional", "dropout", "bias"};
  const Keys encoder{"heads", "feedforward", "dropout", "activation", "norm_first", "causal"};
  Keys encoders = encoder;
  encoders.insert(encoders.end(), {"layers", "final_norm"});
  return {
      {"linear", {"in", "out", "bias"}, make_linear},
      {"conv1d", conv, make_conv<1>},
      {"conv2d", conv, make_conv<2>},
      {"conv3d", conv, make_conv<3>},
      {"conv_transpose1d", transpose, make_conv_transpose<1>},
      {"conv_transpose2d", transpose, make_conv_transpose<2>},
      {"conv_transpose3d", transpose, make_conv_transpose<3>},
      {"max_pool1d", pool, make_pool<nn::MaxPool1d>},
      {"max_pool2d", pool, make_pool<nn::MaxPool2d>},
      {"max_pool3d", pool, make_pool<nn::MaxPool3d>},
      {"avg_pool1d", average, make_pool<nn::AvgPool1d>},
      {"avg_pool2d", average, make_pool<nn::AvgPool2d>},
      {"avg_pool3d", average, make_pool<nn::AvgPool3d>},
      {"adaptive_avg_pool1d", {"size"}, make_adaptive_pool<nn::AdaptiveAvgPool1d>},
      {"adaptive_avg_pool2d", {"size"}, make_adaptive_pool<nn::AdaptiveAvgPool2d>},
      {"adaptive_avg_pool3d", {"size"}, make_adaptive_pool<nn::AdaptiveAvgPool3d>},
      {"adaptive_max_pool1d", {"size"}, make_adaptive_pool<nn::AdaptiveMaxPool1d>},
      {"adaptive_max_pool2d", {"size"}, make_adaptive_pool<nn::AdaptiveMaxPool2d>},
      {"adaptive_max_pool3d", {"size"}, make_adaptive_pool<nn::AdaptiveMaxPool3d>},
      {"batch_norm", {"eps", "momentum"}, make_batch_norm},
      {"layer_norm", {"eps"}, make_layer_norm},
      {"rms_norm", {"eps"}, make_rms_norm},
      {"group_norm", {"groups", "eps"}, make_group_norm},
      {"dropout", {"probability"}, make_dropout},
      {"stochastic_depth", {"probability"}, make_stochastic_depth},
      {"flatten", {"start", "end"}, make_flatten},
      {"embedding", {"entries", "width", "padding_index", "deviation"}, make_embedding},
      {"positional_embedding", {"length"}, make_positional_embedding},
      {"sinusoidal_positions", {}, make_plain<nn::SinusoidalPositions>},
      {"rnn", recurrent, make_recurrent<nn::RecurrentKind::rnn>},
      {"lstm", recurrent, make_recurrent<nn::RecurrentKind::lstm>},
      {"gru", recurrent, make_recurrent<nn::RecurrentKind::gru>},
      {"last_step", {}, make_plain<nn::LastStep>},
      {"mean_over_time", {}, make_plain<nn::MeanOverTime>},
      {"transformer_encoder_layer", encoder, make_encoder_layer},
      {"transformer_encoder", encoders, make_encoder},
      {"relu", {}, make_plain<nn::ReLU>},
      {"relu6", {}, make_plain<nn::ReLU6>},
      {"gelu", {"approximate"}, make_gelu},
      {"silu", {}, make_plain<nn::SiLU>},
      {"tanh", {}, make_plain<nn::Tanh>},
      {"sigmoid", {}, make_plain<nn::Sigmoid>},
      {"leaky_relu", {"negative_slope"}, make_leaky_relu},
      {"elu", {"alpha"}, make_elu},
      {"softplus", {}, make_plain<nn::Softplus>},
      {"hard_sigmoid", {}, make_plain<nn::HardSigmoid>},
      {"hard_swish", {}, make_plain<nn::HardSwish>},
  };
}
}  // namespace

int64_t LayerContext::size(int dimension, int rank) const {
  int needed = dimension >= 0 ? std::max(rank, dimension + 1) : rank;
  WAFER_REQUIRE(input.rank() >= needed, table.where(), "the layer before gives ", input.shape(),
                " (with the batch); at least ", needed, " dimensions are needed");
  return input.size(dimension);
}

const std::vector<LayerType>& layer_types() {
  static const std::vector<LayerType> types = make_types();
  return types;
}

}  // namespace wafer::models
