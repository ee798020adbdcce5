#include "wafer/models/gpt.h"

#include <cmath>

#include "wafer/models/attention_heads.h"
#include "wafer/models/options.h"
#include "wafer/nn/linear.h"
#include "wafer/nn/norm.h"
#include "wafer/nn/sequential.h"
#include "wafer/op/activation.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

namespace {
// x weight + bias with weight [in, out]: GPT-2's layout, which is Linear's transposed.
struct Projection : nn::UnaryModule {
  Projection(int64_t in, int64_t out, double deviation) {
    parameter("weight", weight, Shape{in, out}, nn::init::normal(0, deviation));
    parameter("bias", bias, Shape{out}, nn::init::zeros());
  }
  Tensor forward(const Tensor& x) override { return matmul(x, weight) + bias; }
  // One of `count` equal parts of the result, without the others.
  Tensor part(const Tensor& x, int64_t index, int64_t count) {
    int64_t width = weight.size(1) / count, from = index * width, to = from + width;
    return call([&] { return matmul(x, narrow(weight, 1, from, to)) + narrow(bias, 0, from, to); });
  }
  std::string describe() const override {
    return str("Projection{", weight.size(0), ", ", weight.size(1), "}");
  }

  Tensor weight, bias;
};

// Of projections back to the residual stream: smaller the more layers add to it.
double residual_deviation(const GptOptions& o) {
  return 0.02 / std::sqrt(2.0 * static_cast<double>(o.layers));
}

struct CausalAttention : nn::UnaryModule {
  explicit CausalAttention(const GptOptions& o)
      : c_attn(o.width, 3 * o.width, 0.02),
        c_proj(o.width, o.width, residual_deviation(o)),
        heads(o.heads),
        dropout(o.dropout),
        resid_dropout(o.dropout) {
    add("c_attn", c_attn);
    add("c_proj", c_proj);
    add("resid_dropout", resid_dropout);
  }
  Tensor forward(const Tensor& x) override {
    double share = training() ? dropout : 0;
    return resid_dropout(c_proj(attend_in_heads(c_attn.part(x, 0, 3), c_attn.part(x, 1, 3),
                                                c_attn.part(x, 2, 3), heads, true, share)));
  }

  Projection c_attn, c_proj;
  int64_t heads;
  double dropout;
  nn::Dropout resid_dropout;
};

struct FeedForward : nn::UnaryModule {
  explicit FeedForward(const GptOptions& o)
      : c_fc(o.width, 4 * o.width, 0.02),
        c_proj(4 * o.width, o.width, residual_deviation(o)),
        dropout(o.dropout) {
    add("c_fc", c_fc);
    add("c_proj", c_proj);
    add("dropout", dropout);
  }
  Tensor forward(const Tensor& x) override { return dropout(c_proj(gelu(c_fc(x), true))); }

  Projection c_fc, c_proj;
  nn::Dropout dropout;
};

struct DecoderBlock : nn::UnaryModule {
  explicit DecoderBlock(const GptOptions& o) : ln_1(o.width), attn(o), ln_2(o.width), mlp(o) {
    add("ln_1", ln_1);
    add("attn", attn);
    add("ln_2", ln_2);
    add("mlp", mlp);
  }
  Tensor forward(const Tensor& x) override {
    Tensor h = x + attn(ln_1(x));
    return h + mlp(ln_2(h));
  }

  nn::LayerNorm ln_1;
  CausalAttention attn;
  nn::LayerNorm ln_2;
  FeedForward mlp;
};
}  // namespace

struct Gpt::Body : nn::UnaryModule {
  explicit Body(const GptOptions& o)
      : wte(o.vocabulary, o.width, {.deviation = 0.02}),
        wpe(o.positions, o.width, {.deviation = 0.02}),
        drop(o.dropout),
        ln_f(o.width),
        most(o.positions) {
    for (int64_t i = 0; i < o.layers; ++i) h.append<DecoderBlock>(o);
    add("wte", wte);
    add("wpe", wpe);
    add("drop", drop);
    add("h", h);
    add("ln_f", ln_f);
  }
  Tensor forward(const Tensor& tokens) override {
    WAFER_REQUIRE(tokens.rank() == 2 && tokens.size(1) <= most, "gpt", "an input of ",
                  tokens.shape(), "; expected [batch, time] with at most ", most, " tokens");
    return ln_f(h(drop(wte(tokens) + narrow(wpe.weight, 0, 0, tokens.size(1)))));
  }

  nn::Embedding wte, wpe;
  nn::Dropout drop;
  nn::Sequential h;
  nn::LayerNorm ln_f;
  int64_t most;
};

Gpt::Gpt(const GptOptions& o) : transformer_(std::make_unique<Body>(o)) {
  add("transformer", *transformer_);
}

Gpt::~Gpt() = default;

Tensor Gpt::forward(const Tensor& tokens) {
  return linear((*transformer_)(tokens), transformer_->wte.weight);
}

namespace {
Model build_gpt(const OptionValues& options) {
  GptOptions o{.vocabulary = options.integer("vocabulary"),
               .positions = options.integer("positions"),
               .layers = options.integer("layers"),
               .heads = options.divisor("heads", "width"),
               .width = options.integer("width"),
               .dropout = options.real("dropout", 0, 1)};
  Shape input = options.tokens("input", o.positions);
  return {.module = std::make_unique<Gpt>(o),
          .spec = {Type{DType::i64, input}, o.vocabulary, Task::next_token}};
}
}  // namespace

Builder gpt_builder() {
  return {{"gpt2",
           "GPT-2: transformer decoder that predicts the next token",
           {{"input", "128", "number of tokens"},
            {"vocabulary", "50257", "number of different tokens"},
            {"positions", "1024", "the longest sequence"},
            {"layers", "12", "number of layers"},
            {"heads", "12", "of attention; divides width"},
            {"width", "768", "of the residual stream"},
            {"dropout", "0.1", "probability of dropout"}}},
          build_gpt};
}

}  // namespace wafer::models
