#pragma once
#include <string>
#include <tuple>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Recurrent layers in one direction with PyTorch's weights and formulas. The input's product with
// its weight is one matmul over all steps; the rest is a scan.
namespace wafer {

// PyTorch's weight_ih, weight_hh, bias_ih, bias_hh, whose rows are the gates' one after another.
struct RecurrentWeights {
  Tensor input;                    // [gates * hidden, features]
  Tensor hidden;                   // [gates * hidden, hidden]
  Tensor input_bias, hidden_bias;  // [gates * hidden], or empty: 0
};

struct RecurrentOptions {
  bool batch_first = false;  // inputs and outputs [batch, time, ...] in place of [time, batch, ...]
  bool reverse = false;      // from the last step to the first; outputs stay in the input's order
};

struct RecurrentResult {
  Tensor outputs;  // h of every step: [time, batch, hidden], or as options and input are
  Tensor hidden;   // h after the last step: [batch, hidden]
  Tensor cell;     // c after the last step, of lstm alone
};

// x: [time, batch, features], or [time, features] for one sequence (then states are [hidden]).
// States: [batch, hidden], or empty: 0. All floating and of one dtype.

// h' = tanh(W x + b + U h + d), or with relu.
RecurrentResult rnn(const Tensor& x, const RecurrentWeights& weights, const Tensor& hidden = {},
                    const RecurrentOptions& options = {}, const std::string& activation = "tanh");
// Gates i, f, g, o; c' = f c + i g; h' = o tanh(c') (Hochreiter and Schmidhuber 1997).
RecurrentResult lstm(const Tensor& x, const RecurrentWeights& weights, const Tensor& hidden = {},
                     const Tensor& cell = {}, const RecurrentOptions& options = {});
// Gates r, z, n with n = tanh(W x + b + r (U h + d)); h' = (1 - z) n + z h (Cho et al. 2014).
RecurrentResult gru(const Tensor& x, const RecurrentWeights& weights, const Tensor& hidden = {},
                    const RecurrentOptions& options = {});

// Ops rnn, gru: x [time, batch, features], hidden, weights input, hidden, biases input, hidden ->
// outputs, final hidden. Op lstm: the cell after hidden, among inputs and outputs. Further outputs
// [time, batch, hidden] are what the gradient needs: of lstm the cells and the gates i, f, g, o, of
// gru the gates r, z, n and U h + d of the new state.
// Op lstm_gradient: gradients of outputs, hidden, cell; x, hidden, cell, weights input, hidden;
// outputs, cells, i, f, g, o -> gradients of x, hidden, cell, both weights, either bias.
// Op gru_gradient: gradients of outputs, hidden; x, hidden, weights input, hidden; outputs, r, z,
// n, U h + d -> gradients of x, hidden, both weights, both biases.
struct RecurrentAttrs {
  bool reverse = false;
  std::string activation = "tanh";  // or relu, of rnn alone
  static constexpr auto fields() {
    return std::make_tuple(Field{"reverse", &RecurrentAttrs::reverse},
                           Field{"activation", &RecurrentAttrs::activation});
  }
};

}  // namespace wafer
