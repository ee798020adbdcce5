#include "wafer/nn/recurrent.h"

#include <cmath>

#include "wafer/op/random.h"
#include "wafer/op/recurrent.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

namespace wafer::nn {

namespace {
const char* kind_name(RecurrentKind kind) {
  return kind == RecurrentKind::lstm ? "lstm" : kind == RecurrentKind::gru ? "gru" : "rnn";
}
int64_t gates(RecurrentKind kind) {
  return kind == RecurrentKind::lstm ? 4 : kind == RecurrentKind::gru ? 3 : 1;
}
}  // namespace

Recurrent::Recurrent(RecurrentKind kind, int64_t features, int64_t hidden,
                     const RecurrentLayerOptions& options)
    : kind_(kind), features_(features), hidden_(hidden), options_(options) {
  const char* where = kind_name(kind);
  WAFER_REQUIRE(features > 0 && hidden > 0 && options.layers > 0, where, "features = ", features,
                ", hidden = ", hidden, ", layers = ", options.layers, "; all must be positive");
  WAFER_REQUIRE(options.dropout >= 0 && options.dropout <= 1, where, "a dropout of ",
                options.dropout, "; expected a probability");
  int64_t directions = options.bidirectional ? 2 : 1, rows = gates(kind) * hidden;
  double bound = 1 / std::sqrt(static_cast<double>(hidden));
  auto first_value = init::uniform(-bound, bound);
  weights_.resize(static_cast<size_t>(options.layers * directions));
  for (size_t i = 0; i < weights_.size(); ++i) {
    int64_t layer = static_cast<int64_t>(i) / directions;
    bool reverse = static_cast<int64_t>(i) % directions == 1;
    int64_t in = layer == 0 ? features : directions * hidden;
    std::string suffix = str("_l", layer, reverse ? "_reverse" : "");
    Direction& w = weights_[i];
    parameter("weight_ih" + suffix, w.weight_ih, Shape{rows, in}, first_value);
    parameter("weight_hh" + suffix, w.weight_hh, Shape{rows, hidden}, first_value);
    if (!options.bias) continue;
    parameter("bias_ih" + suffix, w.bias_ih, Shape{rows}, first_value);
    parameter("bias_hh" + suffix, w.bias_hh, Shape{rows}, first_value);
  }
}

// One direction of one layer on x [time, ...].
Tensor Recurrent::run_direction(const Tensor& x, size_t index, const RecurrentState& state,
                                std::vector<Tensor>& hidden, std::vector<Tensor>& cell) const {
  const Direction& w = weights_[index];
  auto part = [&](const Tensor& all) {
    auto at = static_cast<int64_t>(index);
    return all ? squeeze(narrow(all, 0, at, at + 1), 0) : Tensor();
  };
  RecurrentWeights weights{w.weight_ih, w.weight_hh, w.bias_ih, w.bias_hh};
  RecurrentOptions options{.reverse = options_.bidirectional && index % 2 == 1};
  Tensor first_hidden = part(state.hidden), first_cell = part(state.cell);
  RecurrentResult result;
  switch (kind_) {
    case RecurrentKind::lstm: result = lstm(x, weights, first_hidden, first_cell, options); break;
    case RecurrentKind::gru: result = gru(x, weights, first_hidden, options); break;
    default: result = rnn(x, weights, first_hidden, options, options_.nonlinearity);
  }
  hidden.push_back(result.hidden);
  if (result.cell) cell.push_back(result.cell);
  return result.outputs;
}

RecurrentOutput Recurrent::run(const Tensor& x, const RecurrentState& state) {
  const char* where = kind_name(kind_);
  if (x.rank() < 2 || x.rank() > 3 || !(x.shape()[-1] == Dim(features_))) {
    std::string steps = options_.batch_first ? "[batch, time, " : "[time, batch, ";
    throw UserError(
        where, str("the layer reads ", features_, " features a step"),
        {.got = str("input ", x.shape()), .expected = str(steps, features_, "]"), .hint = ""});
  }
  bool exchange = options_.batch_first && x.rank() == 3;
  Tensor y = exchange ? swap_axes(x, 0, 1) : x;
  std::vector<Tensor> hidden, cell;
  size_t directions = options_.bidirectional ? 2 : 1;
  for (size_t i = 0; i < weights_.size(); i += directions) {
    if (i > 0 && training() && options_.dropout > 0) y = dropout(y, options_.dropout);
    Tensor forward = run_direction(y, i, state, hidden, cell);
    y = directions == 1
            ? forward
            : concat({forward, run_direction(y, i + 1, state, hidden, cell)}, forward.rank() - 1);
  }
  return {exchange ? swap_axes(y, 0, 1) : y, stack(hidden, 0),
          cell.empty() ? Tensor() : stack(cell, 0)};
}

Tensor Recurrent::forward(const Tensor& x) {
  return run(x).outputs;
}

std::string Recurrent::describe() const {
  const char* kind = kind_ == RecurrentKind::lstm  ? "LSTM"
                     : kind_ == RecurrentKind::gru ? "GRU"
                                                   : "RNN";
  std::string text = str(kind, "{", features_, ", ", hidden_);
  if (options_.layers > 1) text += str(", layers=", options_.layers);
  if (options_.bidirectional) text += ", bidirectional=true";
  return text + "}";
}

Tensor LastStep::forward(const Tensor& x) {
  WAFER_REQUIRE(x.rank() == 3, "last_step", "an input of ", x.shape(),
                "; expected [batch, time, features]");
  return squeeze(narrow(x, 1, -1, x.size(1)), 1);
}

Tensor MeanOverTime::forward(const Tensor& x) {
  WAFER_REQUIRE(x.rank() == 3, "mean_over_time", "an input of ", x.shape(),
                "; expected [batch, time, features]");
  return mean(x, {1});
}

}  // namespace wafer::nn
