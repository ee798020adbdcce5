#include "wafer/op/control_flow.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/gradient_of.h"
#include "wafer/op/matmul.h"
#include "wafer/op/recurrent_parts.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

// Gradients of lstm and gru by what the forward pass saved: a step of the backward scan has one
// matrix product, and the weights' gradients are one product over all steps after it.
namespace wafer::recurrent {

namespace {
using Tensors = std::vector<Tensor>;

// The state that entered each step, from the states that left it.
Tensor entering(const Tensor& leaving, const Tensor& first, bool reverse) {
  int64_t time = leaving.size(0);
  if (time == 0) return leaving;
  Tensor start = unsqueeze(first, 0);
  if (reverse) return concat({narrow(leaving, 0, 1, time), start}, 0);
  return concat({start, narrow(leaving, 0, 0, time - 1)}, 0);
}

// sum over steps and samples of a^T b: a [time, batch, m], b [time, batch, n] -> [m, n].
Tensor weight_gradient(const Tensor& a, const Tensor& b) {
  return matmul(flatten(a, 0, 1), flatten(b, 0, 1), true, false);
}

Tensor sigmoid_slope(const Tensor& y) {
  return y * (1.0 - y);
}
Tensor tanh_slope(const Tensor& y) {
  return 1.0 - square(y);
}

void require_alike(const char* op, const Tensors& values, size_t from, const Type& type) {
  for (size_t i = from; i < values.size(); ++i) {
    WAFER_CHECK(values[i].shape() == type.shape && values[i].dtype() == type.dtype, op, ": input ",
                i, " is ", values[i].type(), ", not ", type);
  }
}

// Inputs: gradients of outputs, hidden, cell; x, hidden, cell, input weight, hidden weight;
// outputs, cells, i, f, g, o.
std::vector<Type> infer_lstm_gradient(const InferArgs& args) {
  const Tensors& in = args.inputs;
  require_alike("lstm_gradient", in, 8, in[0].type());
  require_alike("lstm_gradient", {in[1], in[2], in[4], in[5]}, 0, in[1].type());
  WAFER_CHECK(in[0].rank() == 3 && in[3].rank() == 3 && in[1].rank() == 2 && in[6].rank() == 2,
              "lstm_gradient: wrong dimensions");
  Type bias{in[3].dtype(), Shape{in[6].shape()[0]}};
  return {in[3].type(), in[4].type(), in[5].type(), in[6].type(), in[7].type(), bias};
}

Tensors decompose_lstm_gradient(const Node& node, const Tensors& in) {
  const Tensor &x = in[3], &input_weight = in[6], &hidden_weight = in[7];
  bool reverse = node.attr<RecurrentAttrs>().reverse;
  Tensor entering_h = entering(in[8], in[4], reverse), entering_c = entering(in[9], in[5], reverse);
  auto step = [&](const Tensors& carries, const Tensors& xs) -> ScanStep {
    const Tensor &dy = xs[0], &c = xs[1], &c_before = xs[2];
    const Tensor &i = xs[3], &f = xs[4], &g = xs[5], &o = xs[6];
    Tensor dh = carries[0] + dy, tanh_c = tanh(c);
    Tensor dc = carries[1] + dh * o * tanh_slope(tanh_c);
    Tensor gates = concat({dc * g * sigmoid_slope(i), dc * c_before * sigmoid_slope(f),
                           dc * i * tanh_slope(g), dh * tanh_c * sigmoid_slope(o)},
                          1);
    return {{matmul(gates, hidden_weight), dc * f}, {gates}};
  };
  ScanResult r =
      scan(step, {in[1], in[2]}, {in[0], in[9], entering_c, in[10], in[11], in[12], in[13]},
           {.reverse = !reverse, .save_carries = false});
  const Tensor& gates = r.ys[0];
  return {matmul(gates, input_weight),
          r.carries[0],
          r.carries[1],
          weight_gradient(gates, x),
          weight_gradient(gates, entering_h),
          reduce_sum(gates, {0, 1})};
}

// Inputs: gradients of outputs, hidden; x, hidden, input weight, hidden weight; outputs, r, z, n,
// U h + d of the new state.
std::vector<Type> infer_gru_gradient(const InferArgs& args) {
  const Tensors& in = args.inputs;
  require_alike("gru_gradient", in, 6, in[0].type());
  require_alike("gru_gradient", {in[1], in[3]}, 0, in[1].type());
  WAFER_CHECK(in[0].rank() == 3 && in[2].rank() == 3 && in[1].rank() == 2 && in[4].rank() == 2,
              "gru_gradient: wrong dimensions");
  Type bias{in[2].dtype(), Shape{in[4].shape()[0]}};
  return {in[2].type(), in[3].type(), in[4].type(), in[5].type(), bias, bias};
}

Tensors decompose_gru_gradient(const Node& node, const Tensors& in) {
  const Tensor &x = in[2], &input_weight = in[4], &hidden_weight = in[5];
  bool reverse = node.attr<RecurrentAttrs>().reverse;
  Tensor entering_h = entering(in[6], in[3], reverse);
  auto step = [&](const Tensors& carries, const Tensors& xs) -> ScanStep {
    const Tensor &dy = xs[0], &h = xs[1], &r = xs[2], &z = xs[3], &n = xs[4], &inner = xs[5];
    Tensor dh = carries[0] + dy;
    Tensor dn = dh * (1.0 - z) * tanh_slope(n), dz = dh * (h - n) * sigmoid_slope(z);
    Tensor dr = dn * inner * sigmoid_slope(r);
    Tensor by_input = concat({dr, dz, dn}, 1), by_hidden = concat({dr, dz, dn * r}, 1);
    return {{dh * z + matmul(by_hidden, hidden_weight)}, {by_input, by_hidden}};
  };
  ScanResult result = scan(step, {in[1]}, {in[0], entering_h, in[7], in[8], in[9], in[10]},
                           {.reverse = !reverse, .save_carries = false});
  const Tensor &by_input = result.ys[0], &by_hidden = result.ys[1];
  return {matmul(by_input, input_weight), result.carries[0],
          weight_gradient(by_input, x),   weight_gradient(by_hidden, entering_h),
          reduce_sum(by_input, {0, 1}),   reduce_sum(by_hidden, {0, 1})};
}

// The gradients of outputs and final states, zeros where there is none, followed by `more`.
Tensors gradient_inputs(const VjpArgs& v, const Kind& kind, const Tensors& more) {
  Tensors inputs;
  for (size_t i = 0; i <= kind.states; ++i) {
    inputs.push_back(v.output_gradients[i] ? v.output_gradients[i] : zeros_like(v.outputs[i]));
  }
  inputs.insert(inputs.end(), more.begin(), more.end());
  return inputs;
}

// A symbolic number of steps, and gradients by what is saved (of second order), go through the
// decomposition's scan.
bool is_plain(const VjpArgs& v, const Kind& kind) {
  for (size_t i = kind.states + 1; i < v.outputs.size(); ++i) {
    if (v.output_gradients[i]) return false;
  }
  return v.inputs[0].shape()[0].is_static();
}

Tensors through_decomposition(const VjpArgs& v) {
  Tensors outputs = v.node.op->decompose(v.node, v.inputs), chosen, gradients;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!v.output_gradients[i]) continue;
    chosen.push_back(outputs[i]);
    gradients.push_back(v.output_gradients[i]);
  }
  // An input that is given twice gets its whole gradient once.
  Tensors wrt, result(v.inputs.size());
  std::vector<size_t> position;
  for (size_t i = 0; i < v.inputs.size(); ++i) {
    bool repeated = false;
    for (const Tensor& earlier : wrt) repeated = repeated || earlier == v.inputs[i];
    if (repeated || !v.needed[i]) continue;
    wrt.push_back(v.inputs[i]);
    position.push_back(i);
  }
  Tensors found = gradient_of(chosen, gradients, wrt);
  for (size_t i = 0; i < wrt.size(); ++i) result[position[i]] = found[i];
  return result;
}
}  // namespace

Tensors lstm_vjp(const VjpArgs& v) {
  if (!is_plain(v, lstm_kind)) return through_decomposition(v);
  const Tensors &in = v.inputs, &out = v.outputs;
  Tensors inputs = gradient_inputs(
      v, lstm_kind,
      {in[0], in[1], in[2], in[3], in[4], out[0], out[3], out[4], out[5], out[6], out[7]});
  Tensors g = make_node(op::lstm_gradient, inputs, v.node.attrs);
  return {g[0], g[1], g[2], g[3], g[4], g[5], g[5]};
}

Tensors gru_vjp(const VjpArgs& v) {
  if (!is_plain(v, gru_kind)) return through_decomposition(v);
  const Tensors &in = v.inputs, &out = v.outputs;
  Tensors inputs = gradient_inputs(
      v, gru_kind, {in[0], in[1], in[2], in[3], out[0], out[2], out[3], out[4], out[5]});
  return make_node(op::gru_gradient, inputs, v.node.attrs);
}

namespace {
// Two products over all steps and one in each, each of the size of the forward's.
template <size_t input_weight, size_t hidden_weight>
Cost gradient_cost(const Node& node) {
  auto rows = static_cast<double>(node.inputs[0].size(0) * node.inputs[0].size(1));
  auto weights = static_cast<double>(node.inputs[input_weight].elements() +
                                     node.inputs[hidden_weight].elements());
  return {4 * rows * weights + 30 * static_cast<double>(node.inputs[0].elements()),
          bytes_touched(node)};
}
}  // namespace

}  // namespace wafer::recurrent

namespace wafer {

const OpDef lstm_gradient_def = {.name = "lstm_gradient",
                                 .infer = recurrent::infer_lstm_gradient,
                                 .decompose = recurrent::decompose_lstm_gradient,
                                 .cost = recurrent::gradient_cost<6, 7>,
                                 .read_attrs = Attrs::read<RecurrentAttrs>};
const OpDef gru_gradient_def = {.name = "gru_gradient",
                                .infer = recurrent::infer_gru_gradient,
                                .decompose = recurrent::decompose_gru_gradient,
                                .cost = recurrent::gradient_cost<4, 5>,
                                .read_attrs = Attrs::read<RecurrentAttrs>};

}  // namespace wafer
