#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wafer/nn/linear.h"
#include "wafer/nn/norm.h"

namespace wafer::nn {

// What attention may see, for one call.
struct AttentionMask {
  // Broadcasts to [batch, heads, queries, keys]. Boolean: true takes part (as in
  // torch.nn.functional.scaled_dot_product_attention); else numbers added to the scores.
  Tensor mask = {};
  // Boolean [batch, keys]: true is padding and takes no part (PyTorch's key_padding_mask).
  Tensor key_padding = {};
  bool causal = false;  // query i sees keys 0 to i
};

struct MultiheadAttentionOptions {
  double dropout = 0;  // in training, of attention weights
  bool bias = true;
  bool batch_first = false;  // [batch, time, width] in place of [time, batch, width]
};

// Vaswani et al. 2017, with PyTorch's parameters: in_proj_weight [3 width, width], in_proj_bias,
// out_proj.weight, out_proj.bias, and its first values.
class MultiheadAttention : public Module {
 public:
  MultiheadAttention(int64_t width, int64_t heads, const MultiheadAttentionOptions& options = {});
  // query [time, batch, width]; key and value [keys, batch, width] -> [time, batch, width].
  Tensor forward(const Tensor& query, const Tensor& key, const Tensor& value,
                 const AttentionMask& mask = {});
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                    const AttentionMask& mask = {}) {
    return call([&] { return forward(query, key, value, mask); });
  }
  std::string describe() const override;

  Tensor in_proj_weight, in_proj_bias;
  Linear out_proj;

 private:
  int64_t width_, heads_;
  MultiheadAttentionOptions options_;
};

struct TransformerEncoderLayerOptions {
  int64_t feedforward = 2048;
  double dropout = 0.1;
  std::string activation = "relu";  // or "gelu"
  bool norm_first = false;          // normalise before attention and feed-forward, not after
  bool batch_first = false;
  bool causal = false;  // always: a decoder-only language model's layer
  double eps = 1e-5;
};

// Self-attention and a feed-forward network, each with residual and LayerNorm: PyTorch's layer and
// parameter names (self_attn, linear1, linear2, norm1, norm2).
class TransformerEncoderLayer : public UnaryModule {
 public:
  TransformerEncoderLayer(int64_t width, int64_t heads,
                          const TransformerEncoderLayerOptions& options = {});
  Tensor forward(const Tensor& x) override { return forward(x, {}); }
  Tensor forward(const Tensor& x, const AttentionMask& mask);
  Tensor operator()(const Tensor& x, const AttentionMask& mask = {}) {
    return call([&] { return forward(x, mask); });
  }
  std::string describe() const override;

  MultiheadAttention self_attn;
  Linear linear1, linear2;
  LayerNorm norm1, norm2;

 private:
  Tensor attend(const Tensor& x, AttentionMask mask);
  Tensor feed_forward(const Tensor& x);
  Tensor drop(const Tensor& x) const;

  int64_t width_, heads_;
  TransformerEncoderLayerOptions options_;
};

// `layers` encoder layers ("layers.0", ...), then, if `final_norm`, a LayerNorm ("norm").
class TransformerEncoder : public UnaryModule {
 public:
  TransformerEncoder(int64_t layers, int64_t width, int64_t heads,
                     const TransformerEncoderLayerOptions& options = {}, bool final_norm = false);
  Tensor forward(const Tensor& x) override { return forward(x, {}); }
  Tensor forward(const Tensor& x, const AttentionMask& mask);
  Tensor operator()(const Tensor& x, const AttentionMask& mask = {}) {
    return call([&] { return forward(x, mask); });
  }

 private:
  struct Layers : Module {
    std::vector<std::unique_ptr<TransformerEncoderLayer>> list;
    using Module::add;
  };
  Layers layers_;
  std::unique_ptr<LayerNorm> norm_;
};

// Adds a learnt vector for each position: x [batch, time, width], time at most `length`.
class PositionalEmbedding : public UnaryModule {
 public:
  PositionalEmbedding(int64_t length, int64_t width, double deviation = 0.02);
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

  Tensor weight;  // [length, width]

 private:
  int64_t length_, width_;
};

// Adds sines and cosines of the position (Vaswani et al. 2017): x [batch, time, width].
class SinusoidalPositions : public UnaryModule {
 public:
  Tensor forward(const Tensor& x) override;
};

}  // namespace wafer::nn
