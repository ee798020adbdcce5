#include "wafer/op/recurrent.h"

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/op/op.h"

namespace wafer::onnx::exporter {

namespace {
// The gates' rows of a weight or bias in ONNX's order.
Ref reordered(Emitter& e, const Ref& x, const Ints& order, int64_t hidden) {
  if (order.size() == 1) return x;
  Refs gates;
  for (int64_t gate : order)
    gates.push_back(e.slice(x, {gate * hidden}, {(gate + 1) * hidden}, {0}));
  return e.concat(gates, 0);
}

// `order`: of ONNX's gates, each one's place among ours. `states`: one, of lstm two.
Refs recurrent(Emitter& e, const Node& node, const char* name, const Ints& order, size_t states,
               Settings settings) {
  const auto& attrs = node.attr<RecurrentAttrs>();
  int64_t hidden = node.inputs[1].shape().size(1);
  size_t at = 1 + states;
  auto weight = [&](size_t i) { return reordered(e, e.in(node.inputs[at + i]), order, hidden); };
  Ref bias = e.concat({weight(2), weight(3)}, 0);
  Refs in = {e.in(node.inputs[0]), e.unsqueeze(weight(0), {0}), e.unsqueeze(weight(1), {0}),
             e.unsqueeze(bias, {0}), Ref()};
  for (size_t i = 1; i <= states; ++i) {
    bool zero = is_constant_value(node.inputs[i], 0);  // what is left out is 0
    in.push_back(zero ? Ref() : e.unsqueeze(e.in(node.inputs[i]), {0}));
  }
  DType dtype = in[0].dtype, computed = e.computed_in(name, dtype);
  for (Ref& each : in)
    if (each) each = e.cast(each, computed);
  settings.emplace_back("hidden_size", hidden);
  if (attrs.reverse) settings.emplace_back("direction", "reverse");
  Refs y = e.ops(name, in, std::vector<DType>(1 + states, computed), settings);
  Refs out = {e.cast(e.squeeze(y[0], {1}), dtype)};  // [time, directions, batch, hidden]
  for (size_t i = 1; i <= states; ++i)
    out.push_back(e.reads(node, static_cast<int>(i)) ? e.cast(e.squeeze(y[i], {0}), dtype) : Ref());
  return out;
}

Refs rnn(Emitter& e, const Node& node) {
  Settings settings;
  if (node.attr<RecurrentAttrs>().activation == "relu")
    settings = {{"activations", std::vector<std::string>{"Relu"}}};
  return recurrent(e, node, "RNN", {0}, 1, settings);
}
Refs lstm(Emitter& e, const Node& node) {
  return recurrent(e, node, "LSTM", {0, 3, 1, 2}, 2, {});
}
Refs gru(Emitter& e, const Node& node) {
  return recurrent(e, node, "GRU", {1, 0, 2}, 1, {{"linear_before_reset", 1}});
}

template <size_t outputs>
std::string refuses(const Node&, int64_t, const Used& used) {
  for (size_t i = outputs; i < used.size(); ++i)
    if (used[i]) return "its gates are read";
  return "";
}

const RuleEntry recurrent_table[] = {
    {&op::rnn, "RNN", rnn, refuses<2>},
    {&op::lstm, "LSTM", lstm, refuses<3>},
    {&op::gru, "GRU", gru, refuses<2>},
};
}  // namespace

RuleList recurrent_rules() {
  return recurrent_table;
}

}  // namespace wafer::onnx::exporter
