#include "wafer/models/sequence.h"

#include "wafer/models/options.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

RecurrentModel::RecurrentModel(const SequenceOptions& sequence,
                               const RecurrentModelOptions& options)
    : sequence_(sequence),
      options_(options),
      embedding_(sequence.vocabulary > 0
                     ? std::make_unique<nn::Embedding>(sequence.vocabulary, options.width)
                     : nullptr),
      rnn_(options.kind, sequence.vocabulary > 0 ? options.width : sequence.features,
           options.hidden,
           {.layers = options.layers,
            .batch_first = true,
            .dropout = sequence.dropout,
            .bidirectional = options.bidirectional}),
      dropout_(sequence.dropout),
      head_((options.bidirectional ? 2 : 1) * options.hidden, sequence.outputs) {
  if (embedding_) add("embedding", *embedding_);
  add("rnn", rnn_);
  add("dropout", dropout_);
  add("head", head_);
}

Tensor RecurrentModel::forward(const Tensor& x) {
  nn::RecurrentOutput result = rnn_(embedding_ ? (*embedding_)(x) : x);
  if (sequence_.task == Task::next_token) return head_(dropout_(result.outputs));
  if (options_.mean_over_time) return head_(dropout_(mean(result.outputs, {1})));
  // The last layer's final states: of both directions, each has read the whole sequence.
  int64_t directions = options_.bidirectional ? 2 : 1, states = result.hidden.size(0);
  Tensor last = narrow(result.hidden, 0, states - directions, states);
  return head_(dropout_(flatten(swap_axes(last, 0, 1), 1)));
}

TransformerModel::TransformerModel(const SequenceOptions& sequence,
                                   const TransformerModelOptions& options)
    : sequence_(sequence),
      positions_(sequence.length, options.width),
      dropout_(sequence.dropout),
      encoder_(options.layers, options.width, options.heads,
               {.feedforward = options.feedforward,
                .dropout = sequence.dropout,
                .activation = options.activation,
                .norm_first = true,
                .batch_first = true,
                .causal = sequence.task == Task::next_token},
               true),
      head_(options.width, sequence.outputs) {
  if (sequence.vocabulary > 0) {
    embedding_ = std::make_unique<nn::Embedding>(sequence.vocabulary, options.width,
                                                 nn::EmbeddingOptions{.deviation = 0.02});
  } else {
    embedding_ = std::make_unique<nn::Linear>(sequence.features, options.width);
  }
  add("embedding", *embedding_);
  add("positions", positions_);
  add("dropout", dropout_);
  add("encoder", encoder_);
  add("head", head_);
}

Tensor TransformerModel::forward(const Tensor& x) {
  Tensor h = encoder_(dropout_(positions_((*embedding_)(x))));
  return head_(sequence_.task == Task::next_token ? h : mean(h, {1}));
}

namespace {
// Reads what all sequence models share, and checks that it fits together.
SequenceOptions read_sequence(const OptionValues& options) {
  Shape input = options.shape("input");
  SequenceOptions sequence;
  sequence.vocabulary = options.integer("vocabulary", 0);
  sequence.outputs = options.integer("outputs");
  sequence.task = options.task();
  sequence.dropout = options.real("dropout", 0, 1);
  sequence.length = input.size(0);
  if (sequence.vocabulary > 0) {
    if (input.rank() != 1) options.fail("input", "a number of tokens, like 128");
  } else {
    if (input.rank() != 2) {
      options.fail("input",
                   "frames x features, like 61x40, or with a vocabulary a number of tokens");
    }
    sequence.features = input.size(1);
    if (sequence.task == Task::next_token) {
      options.fail("task", "classification or regression where inputs are frames");
    }
  }
  return sequence;
}

DataSpec sequence_spec(const OptionValues& options, const SequenceOptions& sequence) {
  DType dtype = sequence.vocabulary > 0 ? DType::i64 : DType::f32;
  return {Type{dtype, options.shape("input")}, sequence.outputs, sequence.task};
}

template <nn::RecurrentKind kind>
Model build_recurrent(const OptionValues& options) {
  SequenceOptions sequence = read_sequence(options);
  RecurrentModelOptions o{.kind = kind,
                          .hidden = options.integer("hidden"),
                          .layers = options.integer("layers"),
                          .width = options.integer("width"),
                          .bidirectional = options.flag("bidirectional"),
                          .mean_over_time = options.choice("pool", {"last", "mean"}) == "mean"};
  if (o.bidirectional && sequence.task == Task::next_token) {
    options.fail("bidirectional",
                 "false for next_token: the reverse direction would see the answer");
  }
  return {.module = std::make_unique<RecurrentModel>(sequence, o),
          .spec = sequence_spec(options, sequence)};
}

Model build_transformer(const OptionValues& options) {
  SequenceOptions sequence = read_sequence(options);
  TransformerModelOptions o{.width = options.integer("width"),
                            .heads = options.divisor("heads", "width"),
                            .layers = options.integer("layers"),
                            .feedforward = options.integer("feedforward"),
                            .activation = options.choice("activation", {"relu", "gelu"})};
  return {.module = std::make_unique<TransformerModel>(sequence, o),
          .spec = sequence_spec(options, sequence)};
}

std::vector<OptionInfo> sequence_options(std::vector<OptionInfo> further, bool text) {
  std::vector<OptionInfo> options{
      {"input", text ? "128" : "61x40", "frames x features, or a number of tokens"},
      {"vocabulary", text ? "65" : "0", "number of different tokens; 0: inputs are frames"},
      {"outputs", text ? "65" : "10", "number of classes or tokens, or of numbers to predict"},
      {"task", text ? "next_token" : "classification", "classification, regression or next_token"},
      {"dropout", "0", "probability of dropout in training"}};
  options.insert(options.end(), further.begin(), further.end());
  return options;
}

template <nn::RecurrentKind kind>
Builder recurrent_builder(const std::string& name, const std::string& description) {
  return {{name, description,
           sequence_options({{"hidden", "128", "width of the recurrent layers"},
                             {"layers", "2", "number of recurrent layers"},
                             {"bidirectional", "false", "also read from the end"},
                             {"pool", "mean",
                              "what the head reads: mean (over time) or last (the final states)"},
                             {"width", "64", "width of token embeddings"}},
                            false)},
          build_recurrent<kind>};
}
}  // namespace

Builder rnn_builder() {
  return recurrent_builder<nn::RecurrentKind::rnn>("rnn", "plain recurrent layers on sequences");
}
Builder lstm_builder() {
  return recurrent_builder<nn::RecurrentKind::lstm>("lstm", "LSTM layers on sequences");
}
Builder gru_builder() {
  return recurrent_builder<nn::RecurrentKind::gru>("gru", "GRU layers on sequences");
}

Builder transformer_builder() {
  return {{"transformer",
           "encoder layers with learnt positions: a character language model, or a classifier",
           sequence_options({{"width", "128", "of the residual stream"},
                             {"heads", "4", "of attention; divides width"},
                             {"layers", "4", "number of encoder layers"},
                             {"feedforward", "512", "width inside the feed-forward networks"},
                             {"activation", "gelu", "relu or gelu"}},
                            true)},
          build_transformer};
}

}  // namespace wafer::models
