#pragma once
#include <memory>
#include <string>

#include "wafer/data/description.h"
#include "wafer/nn/recurrent.h"
#include "wafer/nn/transformer.h"

namespace wafer::models {

struct SequenceOptions {
  int64_t length = 61;     // steps of one sequence
  int64_t features = 40;   // numbers a step; unused with a vocabulary
  int64_t vocabulary = 0;  // > 0: inputs are tokens, i64 [batch, length]
  int64_t outputs = 10;
  data::Task task = data::Task::classification;
  double dropout = 0;
};

struct RecurrentModelOptions {
  nn::RecurrentKind kind = nn::RecurrentKind::gru;
  int64_t hidden = 128, layers = 2;
  int64_t width = 64;  // of token embeddings
  bool bidirectional = false;
  bool mean_over_time = false;  // the head reads the mean of all steps, not the last one
};

// Frames [batch, length, features] or tokens [batch, length] through recurrent layers ("rnn") and a
// linear head: [batch, outputs], or [batch, length, outputs] for next_token.
class RecurrentModel : public nn::UnaryModule {
 public:
  RecurrentModel(const SequenceOptions& sequence, const RecurrentModelOptions& options);
  Tensor forward(const Tensor& x) override;

 private:
  SequenceOptions sequence_;
  RecurrentModelOptions options_;
  std::unique_ptr<nn::Embedding> embedding_;
  nn::Recurrent rnn_;
  nn::Dropout dropout_;
  nn::Linear head_;
};

struct TransformerModelOptions {
  int64_t width = 128, heads = 4, layers = 4, feedforward = 512;
  std::string activation = "gelu";
};

// Tokens or frames, plus learnt positions, through encoder layers that normalise first, a last
// LayerNorm and a linear head. For next_token attention is causal (a decoder-only language model);
// otherwise the head reads the mean over time.
class TransformerModel : public nn::UnaryModule {
 public:
  TransformerModel(const SequenceOptions& sequence, const TransformerModelOptions& options);
  Tensor forward(const Tensor& x) override;

 private:
  SequenceOptions sequence_;
  std::unique_ptr<nn::UnaryModule> embedding_;  // of tokens, or a projection of frames
  nn::PositionalEmbedding positions_;
  nn::Dropout dropout_;
  nn::TransformerEncoder encoder_;
  nn::Linear head_;
};

}  // namespace wafer::models
