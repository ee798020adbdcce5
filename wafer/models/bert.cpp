#include "wafer/models/bert.h"

#include "wafer/models/attention_heads.h"
#include "wafer/models/options.h"
#include "wafer/nn/sequential.h"
#include "wafer/op/activation.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

namespace {
const nn::LayerNormOptions norm{.eps = 1e-12};

struct Embeddings : nn::UnaryModule {
  explicit Embeddings(const BertOptions& o)
      : words(o.vocabulary, o.width),
        positions(o.positions, o.width),
        segments(2, o.width),
        layer_norm(o.width, norm),
        dropout(o.dropout),
        most(o.positions) {
    add("word_embeddings", words);
    add("position_embeddings", positions);
    add("token_type_embeddings", segments);
    add("LayerNorm", layer_norm);
    add("dropout", dropout);
  }
  Tensor forward(const Tensor& tokens) override {
    WAFER_REQUIRE(tokens.rank() == 2 && tokens.size(1) <= most, "bert", "an input of ",
                  tokens.shape(), "; expected [batch, time] with at most ", most, " tokens");
    Tensor h = words(tokens) + narrow(positions.weight, 0, 0, tokens.size(1));
    return dropout(layer_norm(h + narrow(segments.weight, 0, 0, 1)));
  }

  nn::Embedding words, positions, segments;
  nn::LayerNorm layer_norm;
  nn::Dropout dropout;
  int64_t most;
};

// LayerNorm(dropout(dense(x)) + residual).
struct Output : nn::Module {
  Output(int64_t in, const BertOptions& o)
      : dense(in, o.width), layer_norm(o.width, norm), dropout(o.dropout) {
    add("dense", dense);
    add("LayerNorm", layer_norm);
    add("dropout", dropout);
  }
  Tensor operator()(const Tensor& x, const Tensor& residual) {
    return call([&] { return layer_norm(dropout(dense(x)) + residual); });
  }

  nn::Linear dense;
  nn::LayerNorm layer_norm;
  nn::Dropout dropout;
};

struct SelfAttention : nn::UnaryModule {
  explicit SelfAttention(const BertOptions& o)
      : query(o.width, o.width),
        key(o.width, o.width),
        value(o.width, o.width),
        heads(o.heads),
        dropout(o.dropout) {
    add("query", query);
    add("key", key);
    add("value", value);
  }
  Tensor forward(const Tensor& x) override {
    return attend_in_heads(query(x), key(x), value(x), heads, false, training() ? dropout : 0);
  }

  nn::Linear query, key, value;
  int64_t heads;
  double dropout;
};

struct Attention : nn::UnaryModule {
  explicit Attention(const BertOptions& o) : self(o), output(o.width, o) {
    add("self", self);
    add("output", output);
  }
  Tensor forward(const Tensor& x) override { return output(self(x), x); }

  SelfAttention self;
  Output output;
};

// A module with one linear layer, "dense".
struct Dense : nn::UnaryModule {
  Dense(int64_t in, int64_t out) : dense(in, out) { add("dense", dense); }
  Tensor forward(const Tensor& x) override { return dense(x); }

  nn::Linear dense;
};

struct EncoderLayer : nn::UnaryModule {
  explicit EncoderLayer(const BertOptions& o)
      : attention(o), intermediate(o.width, o.feedforward), output(o.feedforward, o) {
    add("attention", attention);
    add("intermediate", intermediate);
    add("output", output);
  }
  Tensor forward(const Tensor& x) override {
    Tensor h = attention(x);
    return output(gelu(intermediate(h)), h);
  }

  Attention attention;
  Dense intermediate;
  Output output;
};

struct Encoder : nn::UnaryModule {
  explicit Encoder(const BertOptions& o) {
    for (int64_t i = 0; i < o.layers; ++i) layers.append<EncoderLayer>(o);
    add("layer", layers);
  }
  Tensor forward(const Tensor& x) override { return layers(x); }

  nn::Sequential layers;
};
}  // namespace

struct Bert::Body : nn::UnaryModule {
  explicit Body(const BertOptions& o) : embeddings(o), encoder(o), pooler(o.width, o.width) {
    add("embeddings", embeddings);
    add("encoder", encoder);
    add("pooler", pooler);
  }
  Tensor forward(const Tensor& tokens) override {
    Tensor h = encoder(embeddings(tokens));
    return tanh(pooler(squeeze(narrow(h, 1, 0, 1), 1)));
  }

  Embeddings embeddings;
  Encoder encoder;
  Dense pooler;
};

Bert::Bert(const BertOptions& o)
    : bert_(std::make_unique<Body>(o)), dropout_(o.dropout), classifier_(o.width, o.outputs) {
  add("bert", *bert_);
  add("dropout", dropout_);
  add("classifier", classifier_);
  set_initialisers([](const nn::Module& layer, const std::string& slot) {
    if (dynamic_cast<const nn::LayerNorm*>(&layer)) return nn::init::Initialiser();
    return slot == "bias" ? nn::init::zeros() : nn::init::normal(0, 0.02);
  });
}

Bert::~Bert() = default;

Tensor Bert::forward(const Tensor& tokens) {
  return classifier_(dropout_((*bert_)(tokens)));
}

namespace {
Model build_bert(const OptionValues& options) {
  BertOptions o{.vocabulary = options.integer("vocabulary"),
                .positions = options.integer("positions"),
                .outputs = options.integer("outputs"),
                .layers = options.integer("layers"),
                .heads = options.divisor("heads", "width"),
                .width = options.integer("width"),
                .feedforward = options.integer("feedforward"),
                .dropout = options.real("dropout", 0, 1)};
  Shape input = options.tokens("input", o.positions);
  if (options.task() == Task::next_token) options.fail("task", "classification or regression");
  return {.module = std::make_unique<Bert>(o),
          .spec = {Type{DType::i64, input}, o.outputs, options.task()}};
}
}  // namespace

Builder bert_builder() {
  return {{"bert_base",
           "BERT: transformer encoder that classifies token sequences",
           {{"input", "128", "number of tokens"},
            {"outputs", "2", "number of classes, or of numbers to predict"},
            {"task", "classification", "classification or regression"},
            {"vocabulary", "30522", "number of different tokens"},
            {"positions", "512", "the longest sequence"},
            {"layers", "12", "number of encoder layers"},
            {"heads", "12", "of attention; divides width"},
            {"width", "768", "of the residual stream"},
            {"feedforward", "3072", "width inside the feed-forward networks"},
            {"dropout", "0.1", "probability of dropout"}}},
          build_bert};
}

}  // namespace wafer::models
