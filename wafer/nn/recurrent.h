#pragma once
#include <string>
#include <vector>

#include "wafer/nn/module.h"

namespace wafer::nn {

struct RecurrentLayerOptions {
  int64_t layers = 1;
  bool bias = true;
  bool batch_first = false;  // [batch, time, ...] in place of [time, batch, ...]
  double dropout = 0;        // in training, between layers
  bool bidirectional = false;
  std::string nonlinearity = "tanh";  // or "relu"; of RNN alone
};

// hidden and cell (of LSTM alone): [layers x directions, batch, hidden]; empty: zeros.
struct RecurrentState {
  Tensor hidden, cell;
};
struct RecurrentOutput {
  Tensor outputs;  // [time, batch, directions x hidden], of the last layer
  Tensor hidden, cell;
};

enum class RecurrentKind { rnn, lstm, gru };

// Layers of one of PyTorch's recurrences, each reading the outputs of the one before, with
// PyTorch's parameter names (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, ..._reverse),
// gate order and first values (uniform within 1 / sqrt(hidden)). x: [time, batch, features], or
// [time, features] for one sequence.
class Recurrent : public UnaryModule {
 public:
  Recurrent(RecurrentKind kind, int64_t features, int64_t hidden,
            const RecurrentLayerOptions& options);
  // The outputs alone: what Sequential calls.
  Tensor forward(const Tensor& x) override;
  RecurrentOutput run(const Tensor& x, const RecurrentState& state = {});
  RecurrentOutput operator()(const Tensor& x, const RecurrentState& state = {}) {
    return call([&] { return run(x, state); });
  }
  std::string describe() const override;

 private:
  struct Direction {
    Tensor weight_ih, weight_hh, bias_ih, bias_hh;
  };
  Tensor run_direction(const Tensor& x, size_t index, const RecurrentState& state,
                       std::vector<Tensor>& hidden, std::vector<Tensor>& cell) const;

  RecurrentKind kind_;
  int64_t features_, hidden_;
  RecurrentLayerOptions options_;
  std::vector<Direction> weights_;  // layer by layer, forward and then reverse
};

struct RNN : Recurrent {
  RNN(int64_t features, int64_t hidden, const RecurrentLayerOptions& options = {})
      : Recurrent(RecurrentKind::rnn, features, hidden, options) {}
};
struct LSTM : Recurrent {
  LSTM(int64_t features, int64_t hidden, const RecurrentLayerOptions& options = {})
      : Recurrent(RecurrentKind::lstm, features, hidden, options) {}
};
struct GRU : Recurrent {
  GRU(int64_t features, int64_t hidden, const RecurrentLayerOptions& options = {})
      : Recurrent(RecurrentKind::gru, features, hidden, options) {}
};

// [batch, time, features] -> the last step [batch, features].
struct LastStep : UnaryModule {
  Tensor forward(const Tensor& x) override;
};
// [batch, time, features] -> the mean over time [batch, features].
struct MeanOverTime : UnaryModule {
  Tensor forward(const Tensor& x) override;
};

}  // namespace wafer::nn
