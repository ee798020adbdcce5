#include "wafer/op/recurrent.h"

#include <algorithm>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/op/activation.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/matmul.h"

namespace wafer::onnx {

namespace {
// An activation by ONNX's name, with its parameters taken from the node's lists in turn.
struct Activation {
  std::string name;
  double alpha = 0, beta = 0;

  Tensor operator()(const Tensor& x) const {
    if (name == "sigmoid") return sigmoid(x);
    if (name == "tanh") return tanh(x);
    if (name == "relu") return relu(x);
    if (name == "affine") return add(mul(x, alpha), beta);
    if (name == "leakyrelu") return leaky_relu(x, alpha);
    if (name == "thresholdedrelu") return where(greater(x, alpha), x, zeros_like(x));
    if (name == "scaledtanh") return mul(tanh(mul(x, beta)), alpha);
    if (name == "hardsigmoid") return clamp(add(mul(x, alpha), beta), 0, 1);
    if (name == "elu") return elu(x, alpha);
    if (name == "softsign") return div(x, add(abs(x), 1.0));
    return softplus(x);
  }
};

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::vector<Activation> read_activations(const Context& c, std::vector<std::string> names) {
  if (c.given("activations")) names = c.texts("activations");
  auto alphas = c.numbers("activation_alpha"), betas = c.numbers("activation_beta");
  size_t next_alpha = 0, next_beta = 0;
  std::vector<Activation> out;
  for (const std::string& text : names) {
    Activation a{lower_case(text)};
    const std::string known =
        " sigmoid tanh relu affine leakyrelu thresholdedrelu scaledtanh hardsigmoid elu softsign "
        "softplus ";
    c.require(known.find(" " + a.name + " ") != std::string::npos, "activation '" + text + "'");
    bool one = a.name == "leakyrelu" || a.name == "thresholdedrelu" || a.name == "elu";
    bool two = a.name == "affine" || a.name == "scaledtanh" || a.name == "hardsigmoid";
    a.alpha = a.name == "leakyrelu" ? 0.01 : a.name == "hardsigmoid" ? 0.2 : 1;
    a.beta = a.name == "hardsigmoid" ? 0.5 : a.name == "affine" ? 0 : 1;
    if ((one || two) && next_alpha < alphas.size()) a.alpha = alphas[next_alpha++];
    if (two && next_beta < betas.size()) a.beta = betas[next_beta++];
    out.push_back(a);
  }
  return out;
}

// What one direction of a layer computes from.
struct Layer {
  int64_t hidden = 0, gates = 0;
  Tensor x;                        // [time, batch, features], in the order of the steps
  Tensor weight, recurrence;       // [gates * hidden, features], [gates * hidden, hidden]
  Tensor input_bias, hidden_bias;  // [gates * hidden], or empty
  Tensor lengths;                  // i64 [batch], or empty
  std::vector<Tensor> state;       // [batch, hidden] each
  Tensor peepholes;                // [3 * hidden], or empty
  std::vector<Activation> activations;
  double clip = 0;
};

Tensor part(const Tensor& x, int64_t index, int64_t hidden) {
  return narrow(x, -1, index * hidden, (index + 1) * hidden);
}

using Step = std::vector<Tensor> (*)(const Context&, const Layer&, const Tensor& gates,
                                     const std::vector<Tensor>& state);

Tensor clipped(const Layer& l, const Tensor& x) {
  return l.clip > 0 ? clamp(x, -l.clip, l.clip) : x;
}

std::vector<Tensor> rnn_step(const Context&, const Layer& l, const Tensor& w,
                             const std::vector<Tensor>& s) {
  Tensor sum = add(w, linear(s[0], l.recurrence, l.hidden_bias));
  return {l.activations[0](clipped(l, sum))};
}

// Gates z, r, h.
std::vector<Tensor> gru_step(const Context& c, const Layer& l, const Tensor& w,
                             const std::vector<Tensor>& s) {
  int64_t n = l.hidden;
  const Activation &f = l.activations[0], &g = l.activations[1];
  bool before = c.flag("linear_before_reset");
  Tensor u = linear(s[0], l.recurrence, l.hidden_bias);
  Tensor z = f(clipped(l, add(part(w, 0, n), part(u, 0, n))));
  Tensor r = f(clipped(l, add(part(w, 1, n), part(u, 1, n))));
  Tensor h;
  if (before) {
    h = mul(r, part(u, 2, n));
  } else {
    Tensor bias = l.hidden_bias ? narrow(l.hidden_bias, 0, 2 * n, 3 * n) : Tensor();
    h = linear(mul(r, s[0]), narrow(l.recurrence, 0, 2 * n, 3 * n), bias);
  }
  h = g(clipped(l, add(part(w, 2, n), h)));
  return {add(mul(sub(1.0, z), h), mul(z, s[0]))};
}

// Gates i, o, f, c; peepholes i, o, f see the cell.
std::vector<Tensor> lstm_step(const Context& c, const Layer& l, const Tensor& w,
                              const std::vector<Tensor>& s) {
  int64_t n = l.hidden;
  const Activation &f = l.activations[0], &g = l.activations[1], &h = l.activations[2];
  Tensor sum = add(w, linear(s[0], l.recurrence, l.hidden_bias));
  auto gate = [&](int64_t index, const Tensor& cell) {
    Tensor x = part(sum, index, n);
    if (l.peepholes && cell) x = add(x, mul(part(l.peepholes, index, n), cell));
    return clipped(l, x);
  };
  Tensor i = f(gate(0, s[1]));
  Tensor forget = c.flag("input_forget") ? sub(1.0, i) : f(gate(2, s[1]));
  Tensor cell = add(mul(forget, s[1]), mul(i, g(gate(3, {}))));
  Tensor o = f(gate(1, cell));
  return {mul(o, h(cell)), cell};
}

struct Run {
  Tensor outputs;             // [time, batch, hidden]
  std::vector<Tensor> state;  // after the last step
};

// All steps as a scan; a sequence that has ended keeps its state and gives zeros.
Run run_layer(const Context& c, const Layer& l, Step step) {
  Tensor projected = linear(l.x, l.weight, l.input_bias);
  std::vector<Tensor> xs = {projected};
  int64_t time = l.x.size(0), batch = l.x.size(1);
  if (l.lengths) {
    Tensor alive = less(reshape(arange(time), {time, 1, 1}), reshape(l.lengths, {1, batch, 1}));
    xs.push_back(alive);
  }
  auto body = [&](const std::vector<Tensor>& state, const std::vector<Tensor>& x) {
    std::vector<Tensor> next = step(c, l, x[0], state);
    Tensor y = next[0];
    if (x.size() > 1) {
      for (size_t i = 0; i < next.size(); ++i) next[i] = where(x[1], next[i], state[i]);
      y = where(x[1], y, zeros_like(y));
    }
    return ScanStep{next, {y}};
  };
  ScanResult result = scan(body, l.state, xs, {.length = time});
  return {result.ys[0], result.carries};
}

// Rows of gates in another order.
Tensor reordered(const Tensor& x, int64_t hidden, const Ints& order) {
  if (!x) return x;
  std::vector<Tensor> parts;
  for (int64_t gate : order) parts.push_back(narrow(x, 0, gate * hidden, (gate + 1) * hidden));
  return concat(parts, 0);
}

bool is_plain(const Layer& l, const std::vector<std::string>& names) {
  if (l.clip > 0 || l.lengths || l.peepholes || l.activations.size() != names.size()) return false;
  for (size_t i = 0; i < names.size(); ++i)
    if (l.activations[i].name != names[i]) return false;
  return true;
}

// The composite op of this library where the layer is what it computes.
std::optional<Run> run_composite(const Context& c, const Layer& l) {
  const std::string& op = c.node().op_type;
  if (op == "RNN" && (is_plain(l, {"tanh"}) || is_plain(l, {"relu"}))) {
    auto r = rnn(l.x, {l.weight, l.recurrence, l.input_bias, l.hidden_bias}, l.state[0], {},
                 l.activations[0].name);
    return Run{r.outputs, {r.hidden}};
  }
  auto with = [&](const Ints& order) {
    return RecurrentWeights{
        reordered(l.weight, l.hidden, order), reordered(l.recurrence, l.hidden, order),
        reordered(l.input_bias, l.hidden, order), reordered(l.hidden_bias, l.hidden, order)};
  };
  if (op == "LSTM" && is_plain(l, {"sigmoid", "tanh", "tanh"}) && !c.flag("input_forget")) {
    auto r = lstm(l.x, with({0, 2, 3, 1}), l.state[0], l.state[1]);
    return Run{r.outputs, {r.hidden, r.cell}};
  }
  if (op == "GRU" && is_plain(l, {"sigmoid", "tanh"}) && c.flag("linear_before_reset")) {
    auto r = gru(l.x, with({1, 0, 2}), l.state[0]);
    return Run{r.outputs, {r.hidden}};
  }
  return std::nullopt;
}

// Each sequence the other way round within its length.
Tensor reversed(const Tensor& x, const Tensor& lengths) {
  if (!lengths) return flip(x, {0});
  Tensor at = iota(x.shape(), 0), length = reshape(lengths, {1, x.size(1), 1});
  return gather_elements(x, where(less(at, length), sub(sub(length, 1.0), at), at), 0);
}

template <int gates, int states, Step step>
Values recurrent(Context& c) {
  std::vector<std::string> names = gates == 1 ? std::vector<std::string>{"Tanh"}
                                   : gates == 3
                                       ? std::vector<std::string>{"Sigmoid", "Tanh"}
                                       : std::vector<std::string>{"Sigmoid", "Tanh", "Tanh"};
  size_t each = names.size();
  std::string direction = c.text("direction", "forward");
  c.require(direction == "forward" || direction == "reverse" || direction == "bidirectional",
            "direction '" + direction + "'");
  int64_t directions = direction == "bidirectional" ? 2 : 1;
  if (directions == 2)
    for (size_t i = 0; i < each; ++i) names.push_back(names[i]);
  auto activations = read_activations(c, names);
  c.require(activations.size() == each * static_cast<size_t>(directions),
            "the wrong number of activations");
  bool batch_first = c.integer("layout", 0) == 1;
  Tensor x = batch_first ? transpose(c.in(0), {1, 0, 2}) : c.in(0);
  c.require(x.rank() == 3, "expected [time, batch, features]");
  int64_t batch = x.size(1), hidden = c.integer("hidden_size", c.in(2).size(-1));
  c.require(c.in(1).rank() == 3 && c.in(2).rank() == 3 && c.in(1).size(0) == directions &&
                c.in(2).shape() == Shape({directions, gates * hidden, hidden}),
            "the weights do not fit direction and hidden_size");
  Tensor lengths = c.has(4) ? cast(c.in(4), DType::i64) : Tensor();
  std::vector<Tensor> outputs;
  std::vector<std::vector<Tensor>> finals(states);
  for (int64_t d = 0; d < directions; ++d) {
    auto of = [&](const Tensor& t) { return squeeze(narrow(t, 0, d, d + 1), 0); };
    Layer l;
    l.hidden = hidden;
    l.gates = gates;
    l.weight = of(c.in(1));
    l.recurrence = of(c.in(2));
    if (c.has(3)) {
      Tensor bias = of(c.in(3));
      l.input_bias = narrow(bias, 0, 0, gates * hidden);
      l.hidden_bias = narrow(bias, 0, gates * hidden, 2 * gates * hidden);
    }
    for (size_t s = 0; s < states; ++s) {
      Tensor initial = c.optional(5 + s);
      if (initial && batch_first) initial = transpose(initial, {1, 0, 2});
      l.state.push_back(initial ? of(initial) : zeros(Shape{batch, hidden}, x.dtype()));
    }
    if (states == 2 && c.has(7)) l.peepholes = of(c.in(7));
    l.lengths = lengths;
    auto first = activations.begin() + static_cast<std::ptrdiff_t>(each) * d;
    l.activations.assign(first, first + static_cast<std::ptrdiff_t>(each));
    l.clip = c.number("clip", 0);
    bool backwards = direction == "reverse" || d == 1;
    l.x = backwards ? reversed(x, lengths) : x;
    auto composite = run_composite(c, l);
    Run run = composite ? *composite : run_layer(c, l, step);
    outputs.push_back(backwards ? reversed(run.outputs, lengths) : run.outputs);
    for (size_t s = 0; s < states; ++s) finals[s].push_back(run.state[s]);
  }
  // [time, directions, batch, hidden], or batch first.
  Tensor y = stack(outputs, 1);
  Values out = {batch_first ? transpose(y, {2, 0, 1, 3}) : y};
  for (const auto& list : finals) out.emplace_back(stack(list, batch_first ? 1 : 0));
  return out;
}

constexpr RuleEntry recurrent_table[] = {
    {"GRU", recurrent<3, 1, gru_step>},
    {"LSTM", recurrent<4, 2, lstm_step>},
    {"RNN", recurrent<1, 1, rnn_step>},
};
}  // namespace

RuleList recurrent_rules() {
  return recurrent_table;
}

}  // namespace wafer::onnx
