#include "wafer/op/recurrent.h"

#include "wafer/op/activation.h"
#include "wafer/op/composite.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/recurrent_parts.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;
using recurrent::gru_kind;
using recurrent::Kind;
using recurrent::lstm_kind;
using recurrent::rnn_kind;

// A node's inputs by name.
struct Parts {
  Tensor x;
  Tensors states;
  RecurrentWeights weights;

  Parts(const Kind& kind, const Tensors& in)
      : x(in[0]),
        states(in.begin() + 1, in.begin() + 1 + static_cast<std::ptrdiff_t>(kind.states)),
        weights{in[kind.states + 1], in[kind.states + 2], in[kind.states + 3],
                in[kind.states + 4]} {}
  int64_t hidden_size() const { return weights.hidden.size(1); }
};

void require_fit(const Kind& kind, const char* what, const Tensor& v, const Shape& shape,
                 const Tensor& x) {
  if (v.shape() == shape && v.dtype() == x.dtype()) return;
  throw UserError(kind.name, str("the ", what, " does not fit"),
                  {.got = str("input ", x.type(), ", ", what, " ", v.type()),
                   .expected = str("a ", what, " of ", x.dtype(), "[", shape, "]")});
}

void check(const Kind& kind, const Parts& p) {
  const Tensor& x = p.x;
  require_dtype(is_floating(x.dtype()), kind.name, x, "a floating dtype");
  WAFER_REQUIRE(x.rank() == 3, kind.name, "an input of ", x.shape(),
                "; expected [time, batch, features]");
  const RecurrentWeights& w = p.weights;
  WAFER_REQUIRE(w.input.rank() == 2 && w.hidden.rank() == 2, kind.name, "weights of ",
                w.input.shape(), " and ", w.hidden.shape(),
                "; expected [gates * hidden, features] and [gates * hidden, hidden]");
  if (!(x.shape()[2] == w.input.shape()[1])) {
    throw UserError(
        kind.name,
        str("the input has ", x.shape()[2], " features, the layer takes ", w.input.shape()[1]),
        {.got = str("input ", x.shape(), ", weight ", w.input.shape()),
         .expected = str("an input [time, batch, ", w.input.shape()[1], "]")});
  }
  Dim hidden = w.hidden.shape()[1], rows = hidden * Dim(kind.gates);
  require_fit(kind, "input weight", w.input, Shape{rows, x.shape()[2]}, x);
  require_fit(kind, "hidden weight", w.hidden, Shape{rows, hidden}, x);
  require_fit(kind, "input bias", w.input_bias, Shape{rows}, x);
  require_fit(kind, "hidden bias", w.hidden_bias, Shape{rows}, x);
  const char* names[] = {"first hidden state", "first cell state"};
  for (size_t i = 0; i < p.states.size(); ++i) {
    require_fit(kind, names[i], p.states[i], Shape{x.shape()[1], hidden}, x);
  }
}

template <const Kind& kind>
std::vector<Type> infer_recurrent(const InferArgs& args) {
  WAFER_CHECK(args.inputs.size() == kind.states + 5, kind.name, ": wrong number of inputs");
  Parts p(kind, args.inputs);
  check(kind, p);
  const std::string& activation = args.attrs.as<RecurrentAttrs>().activation;
  WAFER_REQUIRE(activation == "tanh" || (activation == "relu" && kind.gates == 1), kind.name,
                "unknown activation '", activation, "'; expected tanh",
                kind.gates == 1 ? " or relu" : "");
  const Shape& state = p.states[0].shape();
  std::vector<Type> types = {Type{p.x.dtype(), Shape{p.x.shape()[0], p.x.shape()[1], state[1]}}};
  types.insert(types.end(), kind.states, Type{p.x.dtype(), state});
  types.insert(types.end(), kind.saved, types[0]);
  return types;
}

template <const Kind& kind>
Cost recurrent_cost(const Node& node) {
  Parts p(kind, node.inputs);
  auto rows = static_cast<double>(p.x.size(0) * p.x.size(1));
  auto hidden = static_cast<double>(p.hidden_size()), features = static_cast<double>(p.x.size(2));
  return {rows * hidden * kind.gates * (2 * (features + hidden) + 12), bytes_touched(node)};
}

// Gate number `index` of gates [batch, gates * hidden].
Tensor gate(const Tensor& gates, int64_t index, int64_t hidden) {
  return narrow(gates, 1, index * hidden, (index + 1) * hidden);
}

// Runs `step` over the projected input; it gives the next states and what is saved.
template <class Step>
Tensors recur(const Node& node, const Parts& p, const Tensor& projected, const Step& step) {
  auto body = [&](const Tensors& states, const Tensors& xs) -> ScanStep {
    Tensors next = step(states, xs[0]);
    auto saved = next.begin() + static_cast<std::ptrdiff_t>(states.size());
    Tensors ys = {next[0]};
    ys.insert(ys.end(), saved, next.end());
    return {Tensors(next.begin(), saved), ys};
  };
  ScanResult result =
      scan(body, p.states, {projected}, {.reverse = node.attr<RecurrentAttrs>().reverse});
  Tensors outputs = {result.ys[0]};
  outputs.insert(outputs.end(), result.carries.begin(), result.carries.end());
  outputs.insert(outputs.end(), result.ys.begin() + 1, result.ys.end());
  return outputs;
}

Tensor hidden_product(const Tensor& h, const Parts& p) {
  return matmul(h, p.weights.hidden, false, true);
}

Tensors decompose_rnn(const Node& node, const Tensors& in) {
  Parts p(rnn_kind, in);
  bool rectify = node.attr<RecurrentAttrs>().activation == "relu";
  const RecurrentWeights& w = p.weights;
  Tensor projected = linear(p.x, w.input, w.input_bias + w.hidden_bias);
  return recur(node, p, projected, [&](const Tensors& states, const Tensor& x) -> Tensors {
    Tensor sum = x + hidden_product(states[0], p);
    return {rectify ? relu(sum) : tanh(sum)};
  });
}

Tensors decompose_lstm(const Node& node, const Tensors& in) {
  Parts p(lstm_kind, in);
  const RecurrentWeights& w = p.weights;
  int64_t size = p.hidden_size();
  Tensor projected = linear(p.x, w.input, w.input_bias + w.hidden_bias);
  return recur(node, p, projected, [&](const Tensors& states, const Tensor& x) -> Tensors {
    Tensor gates = x + hidden_product(states[0], p);
    Tensor i = sigmoid(gate(gates, 0, size)), f = sigmoid(gate(gates, 1, size));
    Tensor g = tanh(gate(gates, 2, size)), o = sigmoid(gate(gates, 3, size));
    Tensor cell = f * states[1] + i * g;
    return {o * tanh(cell), cell, cell, i, f, g, o};
  });
}

Tensors decompose_gru(const Node& node, const Tensors& in) {
  Parts p(gru_kind, in);
  const RecurrentWeights& w = p.weights;
  int64_t size = p.hidden_size();
  Tensor projected = linear(p.x, w.input, w.input_bias);
  return recur(node, p, projected, [&](const Tensors& states, const Tensor& x) -> Tensors {
    const Tensor& h = states[0];
    Tensor inner = hidden_product(h, p) + w.hidden_bias;
    Tensor r = sigmoid(gate(x, 0, size) + gate(inner, 0, size));
    Tensor z = sigmoid(gate(x, 1, size) + gate(inner, 1, size));
    Tensor new_inner = gate(inner, 2, size);
    Tensor n = tanh(gate(x, 2, size) + r * new_inner);
    return {n + z * (h - n), r, z, n, new_inner};
  });
}

template <const Kind& kind>
constexpr OpDef recurrent_op(decltype(OpDef::decompose) decompose, decltype(OpDef::vjp) vjp) {
  return {.name = kind.name,
          .infer = infer_recurrent<kind>,
          .vjp = vjp,
          .decompose = decompose,
          .cost = recurrent_cost<kind>,
          .read_attrs = Attrs::read<RecurrentAttrs>};
}

// Brings inputs into the op's form and its outputs back into the caller's.
RecurrentResult build(const OpDef& def, const Kind& kind, const Tensor& x,
                      const RecurrentWeights& weights, const Tensors& states,
                      const RecurrentOptions& options, const std::string& activation) {
  WAFER_REQUIRE(x && weights.input && weights.hidden, kind.name,
                "the input or a weight is an empty tensor");
  WAFER_REQUIRE(x.rank() == 2 || x.rank() == 3, kind.name, "an input of ", x.shape(), "; expected ",
                options.batch_first ? "[batch, time" : "[time, batch",
                ", features] or [time, features]");
  WAFER_REQUIRE(weights.hidden.rank() == 2, kind.name, "a hidden weight of ",
                weights.hidden.shape(), "; expected [gates * hidden, hidden]");
  bool single = x.rank() == 2;
  Tensor steps = single ? unsqueeze(x, 1) : options.batch_first ? swap_axes(x, 0, 1) : x;
  Tensors inputs = {steps};
  Shape state_shape{steps.shape()[1], weights.hidden.shape()[1]};
  for (const Tensor& state : states) {
    if (!state)
      inputs.push_back(zeros(state_shape, x.dtype()));
    else
      inputs.push_back(single && state.rank() == 1 ? unsqueeze(state, 0) : state);
  }
  Shape rows{weights.hidden.shape()[0]};
  inputs.push_back(weights.input);
  inputs.push_back(weights.hidden);
  for (const Tensor& bias : {weights.input_bias, weights.hidden_bias}) {
    inputs.push_back(bias ? bias : zeros(rows, x.dtype()));
  }
  Tensors outputs = make_node(def, inputs, RecurrentAttrs{options.reverse, activation});
  if (single) {
    outputs[0] = squeeze(outputs[0], 1);
    for (size_t i = 1; i <= kind.states; ++i) outputs[i] = squeeze(outputs[i], 0);
  } else if (options.batch_first) {
    outputs[0] = swap_axes(outputs[0], 0, 1);
  }
  return {outputs[0], outputs[1], kind.states == 2 ? outputs[2] : Tensor()};
}
}  // namespace

const OpDef rnn_def = recurrent_op<rnn_kind>(decompose_rnn, nullptr);
const OpDef lstm_def = recurrent_op<lstm_kind>(decompose_lstm, recurrent::lstm_vjp);
const OpDef gru_def = recurrent_op<gru_kind>(decompose_gru, recurrent::gru_vjp);

RecurrentResult rnn(const Tensor& x, const RecurrentWeights& weights, const Tensor& hidden,
                    const RecurrentOptions& options, const std::string& activation) {
  return build(op::rnn, rnn_kind, x, weights, {hidden}, options, activation);
}
RecurrentResult lstm(const Tensor& x, const RecurrentWeights& weights, const Tensor& hidden,
                     const Tensor& cell, const RecurrentOptions& options) {
  return build(op::lstm, lstm_kind, x, weights, {hidden, cell}, options, "tanh");
}
RecurrentResult gru(const Tensor& x, const RecurrentWeights& weights, const Tensor& hidden,
                    const RecurrentOptions& options) {
  return build(op::gru, gru_kind, x, weights, {hidden}, options, "tanh");
}

}  // namespace wafer
