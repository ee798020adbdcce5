#include "wafer/nn/transformer.h"

#include <cmath>

#include "wafer/op/activation.h"
#include "wafer/op/attention.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/random.h"
#include "wafer/op/shape_ops.h"

namespace wafer::nn {

MultiheadAttention::MultiheadAttention(int64_t width, int64_t heads,
                                       const MultiheadAttentionOptions& options)
    : out_proj(width, width, {.bias = options.bias}),
      width_(width),
      heads_(heads),
      options_(options) {
  WAFER_REQUIRE(heads > 0 && width % heads == 0, "attention", heads, " heads do not divide width ",
                width);
  parameter("in_proj_weight", in_proj_weight, Shape{3 * width, width}, init::xavier_uniform());
  if (options.bias) parameter("in_proj_bias", in_proj_bias, Shape{3 * width}, init::zeros());
  add("out_proj", out_proj);
}

Tensor MultiheadAttention::forward(const Tensor& query, const Tensor& key, const Tensor& value,
                                   const AttentionMask& mask) {
  for (const Tensor* x : {&query, &key, &value}) {
    WAFER_REQUIRE(x->rank() == 3 && x->shape()[-1] == Dim(width_), "attention", "an input of ",
                  x->shape(), "; expected [", options_.batch_first ? "batch, time" : "time, batch",
                  ", ", width_, "]");
  }
  // Rows of the projection that make queries (0), keys (1), values (2).
  auto project = [&](const Tensor& x, int64_t part) {
    int64_t from = part * width_, to = from + width_;
    Tensor bias = in_proj_bias ? narrow(in_proj_bias, 0, from, to) : Tensor();
    return linear(x, narrow(in_proj_weight, 0, from, to), bias);
  };
  // To [batch, time, heads, width / heads].
  auto heads_apart = [&](const Tensor& x) {
    Shape shape{x.shape()[0], x.shape()[1], heads_, width_ / heads_};
    Tensor y = reshape(x, shape);
    return options_.batch_first ? y : swap_axes(y, 0, 1);
  };
  AttentionOptions options;
  options.mask = mask.mask;
  options.causal = mask.causal;
  if (training()) options.dropout = options_.dropout;
  if (mask.key_padding) {
    Tensor visible = unsqueeze(unsqueeze(logical_not(mask.key_padding), 1), 1);
    WAFER_REQUIRE(!options.mask || options.mask.dtype() == DType::boolean, "attention",
                  "key_padding goes with a boolean mask only; got a mask of ",
                  options.mask.dtype());
    options.mask = options.mask ? logical_and(options.mask, visible) : visible;
  }
  options.heads_inside = true;
  // Each by itself, where one product could make all three: its parts would have to be copied
  // apart, and their gradients together.
  Tensor y =
      scaled_dot_product_attention(heads_apart(project(query, 0)), heads_apart(project(key, 1)),
                                   heads_apart(project(value, 2)), options);
  if (!options_.batch_first) y = swap_axes(y, 0, 1);
  return out_proj(reshape(y, query.shape()));
}

std::string MultiheadAttention::describe() const {
  return str("MultiheadAttention{", width_, ", ", heads_, "}");
}

TransformerEncoderLayer::TransformerEncoderLayer(int64_t width, int64_t heads,
                                                 const TransformerEncoderLayerOptions& options)
    : self_attn(width, heads, {.dropout = options.dropout, .batch_first = options.batch_first}),
      linear1(width, options.feedforward),
      linear2(options.feedforward, width),
      norm1(width, {.eps = options.eps}),
      norm2(width, {.eps = options.eps}),
      width_(width),
      heads_(heads),
      options_(options) {
  WAFER_REQUIRE(options.activation == "relu" || options.activation == "gelu", "transformer",
                "activation '", options.activation, "'; expected relu or gelu");
  add("self_attn", self_attn);
  add("linear1", linear1);
  add("linear2", linear2);
  add("norm1", norm1);
  add("norm2", norm2);
}

Tensor TransformerEncoderLayer::drop(const Tensor& x) const {
  return training() ? dropout(x, options_.dropout) : x;
}

Tensor TransformerEncoderLayer::attend(const Tensor& x, AttentionMask mask) {
  mask.causal = mask.causal || options_.causal;
  return drop(self_attn(x, x, x, mask));
}

Tensor TransformerEncoderLayer::feed_forward(const Tensor& x) {
  Tensor h = linear1(x);
  h = options_.activation == "relu" ? relu(h) : gelu(h);
  return drop(linear2(drop(h)));
}

Tensor TransformerEncoderLayer::forward(const Tensor& x, const AttentionMask& mask) {
  if (options_.norm_first) {
    Tensor y = x + attend(norm1(x), mask);
    return y + feed_forward(norm2(y));
  }
  Tensor y = norm1(x + attend(x, mask));
  return norm2(y + feed_forward(y));
}

std::string TransformerEncoderLayer::describe() const {
  return str("TransformerEncoderLayer{", width_, ", ", heads_,
             ", feedforward=", options_.feedforward, "}");
}

TransformerEncoder::TransformerEncoder(int64_t layers, int64_t width, int64_t heads,
                                       const TransformerEncoderLayerOptions& options,
                                       bool final_norm) {
  WAFER_REQUIRE(layers > 0, "transformer", layers, " layers; expected at least 1");
  for (int64_t i = 0; i < layers; ++i) {
    layers_.list.push_back(std::make_unique<TransformerEncoderLayer>(width, heads, options));
    layers_.add(std::to_string(i), *layers_.list.back());
  }
  add("layers", layers_);
  if (!final_norm) return;
  norm_ = std::make_unique<LayerNorm>(width, LayerNormOptions{.eps = options.eps});
  add("norm", *norm_);
}

Tensor TransformerEncoder::forward(const Tensor& x, const AttentionMask& mask) {
  Tensor y = layers_.call([&] {
    Tensor h = x;
    for (auto& layer : layers_.list) h = (*layer)(h, mask);
    return h;
  });
  return norm_ ? (*norm_)(y) : y;
}

namespace {
void check_sequence(const Tensor& x, const std::string& where) {
  WAFER_REQUIRE(x.rank() == 3, where, "an input of ", x.shape(), "; expected [batch, time, width]");
}
}  // namespace

PositionalEmbedding::PositionalEmbedding(int64_t length, int64_t width, double deviation)
    : length_(length), width_(width) {
  parameter("weight", weight, Shape{length, width}, init::normal(0, deviation));
}

Tensor PositionalEmbedding::forward(const Tensor& x) {
  check_sequence(x, "positional_embedding");
  int64_t time = x.size(1);
  WAFER_REQUIRE(time <= length_ && x.shape()[2] == Dim(width_), "positional_embedding",
                "an input of ", x.shape(), "; expected [batch, time, ", width_, "] with at most ",
                length_, " steps");
  return x + (time == length_ ? weight : narrow(weight, 0, 0, time));
}

std::string PositionalEmbedding::describe() const {
  return str("PositionalEmbedding{", length_, ", ", width_, "}");
}

Tensor SinusoidalPositions::forward(const Tensor& x) {
  check_sequence(x, "sinusoidal_positions");
  int64_t time = x.size(1), width = x.size(2);
  std::vector<float> table;
  for (int64_t t = 0; t < time; ++t) {
    for (int64_t i = 0; i < width; ++i) {
      double exponent = static_cast<double>(i / 2 * 2) / static_cast<double>(width);
      double angle = static_cast<double>(t) / std::pow(10000.0, exponent);
      table.push_back(static_cast<float>(i % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
  }
  return x + cast(Tensor::from_values(table, Shape{time, width}), x.dtype());
}

}  // namespace wafer::nn
