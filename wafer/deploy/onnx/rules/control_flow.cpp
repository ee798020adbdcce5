#include "wafer/op/control_flow.h"

#include <limits>
#include <optional>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"

namespace wafer::onnx {

namespace {
constexpr int64_t most_steps = 100000;
// Longer loops become a node with a subgraph, where their bodies allow it.
constexpr int64_t most_unrolled = 500;
// Ahead, where every step that collects a value is nodes of the graph.
constexpr int64_t most_collected_ahead = 20'000;

bool truth(Context& c, const Tensor& condition, const std::string& what) {
  auto numbers = c.numbers_of(condition, what);
  c.require(numbers.size() == 1, "the condition must be one truth value");
  return numbers[0] != 0;
}

Tensor as_scalar(const Tensor& x) {
  return reshape(cast(x, DType::boolean), Ints{});
}

// One branch where the condition is known, else both as a node that runs one.
Values if_rule(Context& c) {
  const GraphDef &then_graph = c.graph_attribute("then_branch"),
                 &else_graph = c.graph_attribute("else_branch");
  if (c.walk().known(c.in(0))) {
    bool chosen = truth(c, c.in(0), "condition");
    return c.walk().subgraph(chosen ? then_graph : else_graph, {}, c.scope());
  }
  std::vector<ElementType> types;
  auto branch = [&](const GraphDef& graph) {
    return [&c, &graph, &types] {
      std::vector<Tensor> tensors;
      types.clear();
      for (const Value& value : c.walk().subgraph(graph, {}, c.scope())) {
        c.require(static_cast<bool>(value.tensor), "a branch gives no tensor");
        tensors.push_back(value.tensor);
        types.push_back(value.type);
      }
      return tensors;
    };
  };
  auto outputs = if_else(as_scalar(c.in(0)), branch(then_graph), branch(else_graph));
  Values out;
  for (size_t i = 0; i < outputs.size(); ++i) out.emplace_back(outputs[i], types[i]);
  return out;
}

Tensor stacked(std::vector<Tensor> parts, int axis) {
  for (Tensor& part : parts) part = unsqueeze(part, axis);
  return concat(parts, axis);
}

// A loop whose end only its own values know, compiled ahead: a node with a subgraph.
Values loop_ahead(Context& c, const GraphDef& body, int64_t trips, Tensor condition) {
  size_t carried = c.inputs() - 2;
  c.require(body.outputs.size() == carried + 1,
            "a loop of unknown length that collects values cannot be compiled ahead");
  std::vector<Tensor> state = {Tensor(int64_t{0}), as_scalar(condition)};
  std::vector<ElementType> types;
  for (size_t i = 0; i < carried; ++i) {
    state.push_back(c.in(i + 2));
    types.push_back(c.type(i + 2));
  }
  auto more = [&](const std::vector<Tensor>& s) {
    return logical_and(less(s[0], Tensor(trips)), s[1]);
  };
  auto step = [&](const std::vector<Tensor>& s) {
    Values inputs = {s[0], s[1]};
    for (size_t i = 0; i < carried; ++i) inputs.emplace_back(s[i + 2], types[i]);
    Values outputs = c.walk().subgraph(body, inputs, c.scope());
    for (const Value& output : outputs)
      c.require(static_cast<bool>(output.tensor),
                "the body gives " + output.text() + " where the loop needs a tensor");
    std::vector<Tensor> next = {add(s[0], Tensor(int64_t{1})), as_scalar(outputs[0].tensor)};
    for (size_t i = 0; i < carried; ++i) next.push_back(outputs[i + 1].tensor);
    return next;
  };
  auto end = while_loop(more, step, state);
  Values out;
  for (size_t i = 0; i < carried; ++i) out.emplace_back(end[i + 2], types[i]);
  return out;
}

Values loop(Context& c) {
  const GraphDef& body = c.graph_attribute("body");
  c.require(c.inputs() >= 2, "expected trip count, condition and state");
  size_t carried = c.inputs() - 2;
  c.require(body.inputs.size() == carried + 2 && body.outputs.size() >= carried + 1,
            "the body's inputs and outputs do not fit the state");
  int64_t trips = c.has(0) ? c.scalar_integer(0) : std::numeric_limits<int64_t>::max();
  Tensor condition = c.has(1) ? c.in(1) : cast(Tensor(1), DType::boolean);
  bool scans = body.outputs.size() > carried + 1;
  if (!c.walk().known(condition)) return loop_ahead(c, body, trips, condition);
  auto as_node = [&]() -> std::optional<Values> {
    try {
      return loop_ahead(c, body, trips, c.has(1) ? c.in(1) : cast(Tensor(1), DType::boolean));
    } catch (const UserError&) {
      return std::nullopt;  // shapes or values on the host that change with the steps
    }
  };
  if (!scans && trips > most_unrolled && trips <= most_steps)
    if (auto outputs = as_node()) return *outputs;
  Values state;
  for (size_t i = 0; i < carried; ++i) state.push_back(c.value(i + 2));
  std::vector<std::vector<Tensor>> collected(body.outputs.size() - carried - 1);
  std::vector<ElementType> types(collected.size(), ElementType::f32);
  for (int64_t step = 0; step < trips && truth(c, condition, "condition"); ++step) {
    int64_t most = scans && c.walk().ahead() ? most_collected_ahead : most_steps;
    c.require(step < most, str("more than ", most, " steps"));
    if (!scans && step == most_unrolled && trips > most_steps)
      if (auto outputs = as_node()) return *outputs;
    Values inputs = {Tensor(step), Value(condition)};
    inputs.insert(inputs.end(), state.begin(), state.end());
    Values outputs = c.walk().subgraph(body, inputs, c.scope());
    c.require(static_cast<bool>(outputs[0].tensor), "the body's condition is no tensor");
    condition = outputs[0].tensor;
    if (step == 0 && !scans && !c.walk().known(condition))
      return loop_ahead(c, body, trips, c.has(1) ? c.in(1) : cast(Tensor(1), DType::boolean));
    for (size_t i = 0; i < carried; ++i) state[i] = outputs[i + 1];
    for (size_t i = 0; i < collected.size(); ++i) {
      c.require(static_cast<bool>(outputs[carried + 1 + i].tensor),
                "the body collects " + outputs[carried + 1 + i].text() + "; expected a tensor");
      collected[i].push_back(outputs[carried + 1 + i].tensor);
      types[i] = outputs[carried + 1 + i].type;
    }
  }
  for (size_t i = 0; i < collected.size(); ++i) {
    if (!collected[i].empty()) {
      state.emplace_back(stacked(collected[i], 0), types[i]);
      continue;
    }
    // Of no steps: an empty tensor of the type that the body states.
    const TypeDef& type = body.outputs[carried + 1 + i].type;
    Ints sizes = {0};
    for (const Dim& dim : type.dims) sizes.push_back(dim.is_static() ? dim.value() : 0);
    ElementType element = type.element == ElementType::undefined ? ElementType::f32 : type.element;
    state.emplace_back(zeros(Shape(sizes), carrier(element)), element);
  }
  return state;
}

struct ScanAxes {
  Ints inputs, outputs;
  std::vector<bool> input_reverse, output_reverse;
};

// The states go through the body's steps; inputs are cut along an axis, outputs stacked along one.
Values scan_once(Context& c, const GraphDef& body, Values states, const std::vector<Tensor>& inputs,
                 const ScanAxes& axes) {
  size_t n = states.size(), outputs = body.outputs.size() - n;
  std::vector<Tensor> sliced, initial;
  std::vector<ElementType> types;
  int64_t length = inputs.empty() ? 0 : inputs[0].size(static_cast<int>(axes.inputs[0]));
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto axis = static_cast<int>(axes.inputs[i]);
    c.require(inputs[i].size(axis) == length, "the scanned inputs differ in length");
    Tensor x = axes.input_reverse[i] ? flip(inputs[i], {axis}) : inputs[i];
    Ints order = {axis};
    for (int d = 0; d < x.rank(); ++d)
      if (d != axis) order.push_back(d);
    sliced.push_back(transpose(x, order));
  }
  for (const Value& state : states) {
    c.require(static_cast<bool>(state.tensor), "a state is no tensor");
    initial.push_back(state.tensor);
    types.push_back(state.type);
  }
  std::vector<ElementType> output_types(outputs, ElementType::f32);
  auto step = [&](const std::vector<Tensor>& carries, const std::vector<Tensor>& xs) {
    Values arguments;
    for (size_t i = 0; i < n; ++i) arguments.emplace_back(carries[i], types[i]);
    for (const Tensor& x : xs) arguments.emplace_back(x);
    Values results = c.walk().subgraph(body, arguments, c.scope());
    for (const Value& result : results)
      c.require(static_cast<bool>(result.tensor),
                "the body gives " + result.text() + "; expected a tensor");
    ScanStep out;
    for (size_t i = 0; i < n; ++i) out.carries.push_back(results[i].tensor);
    for (size_t i = 0; i < outputs; ++i) {
      out.ys.push_back(results[n + i].tensor);
      output_types[i] = results[n + i].type;
    }
    return out;
  };
  ScanResult result = scan(step, initial, sliced, {.length = length, .save_carries = false});
  Values out;
  for (size_t i = 0; i < n; ++i) out.emplace_back(result.carries[i], types[i]);
  for (size_t i = 0; i < outputs; ++i) {
    Tensor y = result.ys[i];
    if (axes.output_reverse[i]) y = flip(y, {0});
    int axis = axis_of(c, axes.outputs[i], y.rank());
    Ints order;
    for (int d = 1; d < y.rank(); ++d) order.push_back(d);
    order.insert(order.begin() + axis, 0);
    out.emplace_back(transpose(y, order), output_types[i]);
  }
  return out;
}

std::vector<bool> directions(const Context& c, const std::string& name, size_t count) {
  Ints given = c.integers(name, Ints(count, 0));
  c.require(given.size() == count, "'" + name + "' has the wrong length");
  std::vector<bool> out;
  for (int64_t d : given) out.push_back(d == 1);
  return out;
}

Values scan_rule(Context& c) {
  const GraphDef& body = c.graph_attribute("body");
  bool old = c.version() < 9;  // has sequence lengths first, and batches
  size_t first = old ? 1 : 0;
  auto scanned = static_cast<size_t>(c.integer("num_scan_inputs"));
  c.require(c.inputs() >= first + scanned && scanned > 0, "too few inputs");
  size_t n = c.inputs() - first - scanned;
  c.require(body.outputs.size() >= n, "the body gives too few values");
  size_t outputs = body.outputs.size() - n;
  ScanAxes axes;
  axes.input_reverse = directions(c, old ? "directions" : "scan_input_directions", scanned);
  axes.output_reverse = directions(c, "scan_output_directions", outputs);
  axes.inputs = c.integers("scan_input_axes", Ints(scanned, 0));
  axes.outputs = c.integers("scan_output_axes", Ints(outputs, 0));
  c.require(axes.inputs.size() == scanned && axes.outputs.size() == outputs,
            "axes of the wrong length");
  Values states;
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < n; ++i) states.push_back(c.value(first + i));
  for (size_t i = 0; i < scanned; ++i) inputs.push_back(c.in(first + n + i));
  if (!old) {
    for (size_t i = 0; i < scanned; ++i)
      axes.inputs[i] = axis_of(c, axes.inputs[i], inputs[i].rank());
    return scan_once(c, body, states, inputs, axes);
  }
  c.require(!c.has(0), "sequence lengths are not supported");
  int64_t batch = inputs[0].size(0);
  std::vector<std::vector<Tensor>> parts(n + outputs);
  for (int64_t b = 0; b < batch; ++b) {
    auto one = [&](const Tensor& x) { return squeeze(narrow(x, 0, b, b + 1), 0); };
    Values state_b;
    for (const Value& state : states) state_b.emplace_back(one(state.tensor), state.type);
    std::vector<Tensor> inputs_b;
    for (const Tensor& x : inputs) inputs_b.push_back(one(x));
    Values results = scan_once(c, body, state_b, inputs_b, axes);
    for (size_t i = 0; i < results.size(); ++i) parts[i].push_back(results[i].tensor);
  }
  Values out;
  for (const auto& list : parts) out.emplace_back(stacked(list, 0));
  return out;
}

constexpr RuleEntry control_flow_table[] = {
    {"If", if_rule, true},
    {"Loop", loop, true},
    {"Scan", scan_rule, true},
};
}  // namespace

RuleList control_flow_rules() {
  return control_flow_table;
}

}  // namespace wafer::onnx
