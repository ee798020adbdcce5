#include "wafer/op/control_flow.h"

#include <algorithm>

#include "wafer/op/closure.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/gradient_of.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

bool same_type(const Type& a, const Type& b) {
  return a.dtype == b.dtype && a.shape == b.shape;
}

Shape element_shape(const Shape& shape) {
  return Shape(std::vector<Dim>(shape.dims().begin() + 1, shape.dims().end()));
}

Shape stacked_shape(const Shape& shape, const Dim& length) {
  auto dims = shape.dims();
  dims.insert(dims.begin(), length);
  return Shape(std::move(dims));
}

Tensors part(const Tensors& values, size_t from, size_t to) {
  return {values.begin() + static_cast<std::ptrdiff_t>(from),
          values.begin() + static_cast<std::ptrdiff_t>(to)};
}

Tensors joined(std::initializer_list<Tensors> lists) {
  Tensors all;
  for (const Tensors& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

void require_values(const char* op, const char* what, const Tensors& values) {
  for (const Tensor& value : values) {
    WAFER_REQUIRE(static_cast<bool>(value), op, what, " gives an empty tensor");
  }
}

// What comes back must be as what went in.
void require_types(const char* op, const char* what, const Tensors& in, const Tensors& out) {
  WAFER_REQUIRE(in.size() == out.size(), op, what, ": the body gives ", out.size(),
                " values where ", in.size(), " came in");
  require_values(op, "the body", out);
  for (size_t i = 0; i < in.size(); ++i) {
    if (same_type(in[i].type(), out[i].type())) continue;
    throw UserError(op, str(what, " ", i, " does not keep its type"),
                    {.got = str(in[i].type(), " in, ", out[i].type(), " out"),
                     .expected = "the same type at every step",
                     .hint = "cast or reshape the first value or the body's result"});
  }
}

Dim length_of(const Node& node) {
  const auto& attrs = node.attr<ScanAttrs>();
  if (attrs.length >= 0) return Dim(attrs.length);
  return node.inputs[static_cast<size_t>(attrs.carries)].shape()[0];
}

std::vector<Type> infer_scan(const InferArgs& args) {
  const auto& attrs = args.attrs.as<ScanAttrs>();
  WAFER_CHECK(args.subgraphs.size() == 1, "scan: one subgraph is needed");
  const Graph& body = *args.subgraphs[0];
  auto carries = static_cast<size_t>(attrs.carries), xs = static_cast<size_t>(attrs.xs);
  WAFER_CHECK(attrs.carries >= 0 && attrs.xs >= 0 && carries + xs <= args.inputs.size() &&
                  body.inputs.size() == args.inputs.size() && body.outputs.size() >= carries &&
                  (attrs.length >= 0 || xs > 0),
              "scan: wrong number of inputs or outputs");
  Dim length = attrs.length >= 0 ? Dim(attrs.length) : args.inputs[carries].shape()[0];
  for (size_t i = 0; i < args.inputs.size(); ++i) {
    Type type = args.inputs[i].type();
    if (i >= carries && i < carries + xs) {
      WAFER_CHECK(type.shape.rank() > 0 && type.shape[0] == length, "scan: input ", type, " for ",
                  length, " steps");
      type.shape = element_shape(type.shape);
    }
    WAFER_CHECK(same_type(type, body.inputs[i].type()), "scan: ", type, " for the body's ",
                body.inputs[i].type());
  }
  std::vector<Type> types;
  for (size_t i = 0; i < body.outputs.size(); ++i) {
    Type type = logical(body.outputs[i].type());
    if (i < carries) {
      WAFER_CHECK(same_type(type, args.inputs[i].type()), "scan: carry ", i, " becomes ", type);
    } else {
      type.shape = stacked_shape(type.shape, length);
    }
    types.push_back(type);
  }
  return types;
}

Cost body_cost(const Graph& graph) {
  Cost sum;
  for (const Node* node : topological_order(graph)) {
    if (node->is(op::input) || node->is(op::constant)) continue;
    Cost one = cost(*node);
    sum.flops += one.flops;
    sum.bytes += one.bytes;
  }
  return sum;
}

Cost scan_cost(const Node& node) {
  Cost one = body_cost(*node.subgraphs[0]);
  auto length = static_cast<double>(scan_length(node));
  return {one.flops * length, one.bytes * length};
}

// ---- gradient ----

// The gradient of a closed graph as a graph: inputs are the graph's own and a gradient for each
// output of `by_output`; outputs are the gradients by the inputs of `wrt`, empty where there is
// none.
struct GradientGraph {
  Tensors inputs, outputs;

  GradientGraph(const Graph& graph, const std::vector<size_t>& by_output,
                const std::vector<size_t>& wrt) {
    Tensors arguments = placeholders_like(graph.inputs, "value");
    Tensors results = inline_graph(graph, arguments);
    Tensors chosen, variables;
    for (size_t i : by_output) chosen.push_back(results[i]);
    for (size_t i : wrt) variables.push_back(arguments[i]);
    Tensors gradients = placeholders_like(chosen, "gradient");
    inputs = joined({arguments, gradients});
    outputs = gradient_of(chosen, gradients, variables);
  }

  // The gradients at the given values; zeros where there is none.
  Tensors at(const Tensors& values, const Tensors& zero_like) const {
    Graph graph;
    graph.inputs = inputs;
    for (const Tensor& output : outputs) {
      if (output) graph.outputs.push_back(output);
    }
    Tensors found = inline_graph(graph, values), result;
    size_t next = 0;
    for (size_t i = 0; i < outputs.size(); ++i) {
      result.push_back(outputs[i] ? found[next++] : zeros_like(zero_like[i]));
    }
    return result;
  }
};

// The carries that came into each step, stacked: what the forward scan saved, else by running it
// again.
Tensors saved_carries(const VjpArgs& v) {
  const auto& attrs = v.node.attr<ScanAttrs>();
  const Graph& body = *v.node.subgraphs[0];
  auto carries = static_cast<size_t>(attrs.carries);
  Tensors saved(carries);
  Graph again = body;
  std::vector<size_t> missing;
  for (size_t i = 0; i < carries; ++i) {
    for (size_t j = carries; j < body.outputs.size() && !saved[i]; ++j) {
      if (body.outputs[j] == body.inputs[i]) {
        saved[i] = v.outputs[j];
      } else if (body.outputs[j] == body.outputs[i] && attrs.length > 0) {
        // A y is the carry that leaves each step: shifted by one, the carry that enters.
        Tensor first = unsqueeze(v.inputs[i], 0);
        const Tensor& leaving = v.outputs[j];
        saved[i] = attrs.reverse ? concat({narrow(leaving, 0, 1, attrs.length), first}, 0)
                                 : concat({first, narrow(leaving, 0, 0, attrs.length - 1)}, 0);
      }
    }
    if (saved[i]) continue;
    missing.push_back(i);
    again.outputs.push_back(body.inputs[i]);
  }
  if (missing.empty()) return saved;
  Tensors outputs = make_node(op::scan, v.inputs, attrs, {std::make_shared<const Graph>(again)});
  for (size_t i = 0; i < missing.size(); ++i) {
    saved[missing[i]] = outputs[body.outputs.size() + i];
  }
  return saved;
}

Tensors scan_vjp(const VjpArgs& v) {
  const auto& attrs = v.node.attr<ScanAttrs>();
  const Graph& body = *v.node.subgraphs[0];
  auto carries = static_cast<size_t>(attrs.carries), xs = static_cast<size_t>(attrs.xs);

  // Carries of the backward scan: gradients of the forward's carries, then the captures' sums. Its
  // ys: gradients of xs.
  std::vector<size_t> outputs, wrt;
  Tensors initial, y_gradients;
  for (size_t i = 0; i < carries; ++i) {
    if (!is_floating(v.inputs[i].dtype())) continue;
    outputs.push_back(i);
    wrt.push_back(i);
    const Tensor& g = v.output_gradients[i];
    initial.push_back(g ? g : zeros_like(v.inputs[i]));
  }
  size_t active_carries = wrt.size();
  for (size_t i = carries; i < body.outputs.size(); ++i) {
    if (!v.output_gradients[i]) continue;
    outputs.push_back(i);
    y_gradients.push_back(v.output_gradients[i]);
  }
  for (size_t i = carries + xs; i < v.inputs.size(); ++i) {
    if (!v.needed[i] || !is_floating(v.inputs[i].dtype())) continue;
    wrt.push_back(i);
    initial.push_back(zeros_like(v.inputs[i]));
  }
  size_t backward_carries = wrt.size();
  for (size_t i = carries; i < carries + xs; ++i) {
    if (v.needed[i] && is_floating(v.inputs[i].dtype())) wrt.push_back(i);
  }

  GradientGraph step(body, outputs, wrt);
  Tensors captures = part(v.inputs, carries + xs, v.inputs.size());
  Tensors backward_xs =
      joined({saved_carries(v), part(v.inputs, carries, carries + xs), y_gradients});
  auto backward = [&](const Tensors& sums, const Tensors& at) -> ScanStep {
    Tensors values = joined({part(at, 0, carries + xs), captures, part(sums, 0, active_carries),
                             part(at, carries + xs, at.size())});
    Tensors variables;
    for (size_t i : wrt) variables.push_back(values[i]);
    Tensors gradients = step.at(values, variables);
    for (size_t i = active_carries; i < backward_carries; ++i) {
      gradients[i] = step.outputs[i] ? sums[i] + gradients[i] : sums[i];
    }
    return {part(gradients, 0, backward_carries),
            part(gradients, backward_carries, gradients.size())};
  };
  ScanOptions options{.reverse = !attrs.reverse, .save_carries = false};
  if (attrs.length >= 0) options.length = attrs.length;
  ScanResult result = scan(backward, initial, backward_xs, options);

  Tensors gradients(v.inputs.size());
  for (size_t i = 0; i < wrt.size(); ++i) {
    gradients[wrt[i]] = i < backward_carries ? result.carries[i] : result.ys[i - backward_carries];
  }
  return gradients;
}

Tensors if_vjp(const VjpArgs& v) {
  std::vector<size_t> outputs, wrt;
  Tensors captures = part(v.inputs, 1, v.inputs.size()), gradients, variables;
  for (size_t i = 0; i < v.outputs.size(); ++i) {
    if (!v.output_gradients[i]) continue;
    outputs.push_back(i);
    gradients.push_back(v.output_gradients[i]);
  }
  for (size_t i = 0; i < captures.size(); ++i) {
    if (!v.needed[i + 1] || !is_floating(captures[i].dtype())) continue;
    wrt.push_back(i);
    variables.push_back(captures[i]);
  }
  auto branch = [&](size_t which) -> Branch {
    return [&, which] {
      GradientGraph gradient(*v.node.subgraphs[which], outputs, wrt);
      return gradient.at(joined({captures, gradients}), variables);
    };
  };
  Tensors found = if_else(v.inputs[0], branch(0), branch(1)), result(v.inputs.size());
  for (size_t i = 0; i < wrt.size(); ++i) result[wrt[i] + 1] = found[i];
  return result;
}

// ---- while_loop and if_else ----

void check_subgraph_inputs(const char* op, const InferArgs& args, size_t skipped) {
  for (const auto& graph : args.subgraphs) {
    WAFER_CHECK(graph->inputs.size() + skipped == args.inputs.size(), op,
                ": wrong number of inputs of a subgraph");
    for (size_t i = 0; i < graph->inputs.size(); ++i) {
      WAFER_CHECK(same_type(graph->inputs[i].type(), args.inputs[i + skipped].type()), op, ": ",
                  args.inputs[i + skipped].type(), " for the subgraph's ", graph->inputs[i].type());
    }
  }
}

bool is_boolean_scalar(const Type& type) {
  return type.dtype == DType::boolean && type.shape.rank() == 0;
}

std::vector<Type> infer_while(const InferArgs& args) {
  auto states = static_cast<size_t>(args.attrs.as<WhileAttrs>().states);
  WAFER_CHECK(args.subgraphs.size() == 2 && states <= args.inputs.size(),
              "while_loop: two subgraphs and a state are needed");
  check_subgraph_inputs("while_loop", args, 0);
  const Graph &condition = *args.subgraphs[0], &body = *args.subgraphs[1];
  WAFER_CHECK(condition.outputs.size() == 1 && is_boolean_scalar(condition.outputs[0].type()) &&
                  body.outputs.size() == states,
              "while_loop: wrong outputs of a subgraph");
  std::vector<Type> types;
  for (size_t i = 0; i < states; ++i) {
    types.push_back(logical(body.outputs[i].type()));
    WAFER_CHECK(same_type(types[i], args.inputs[i].type()), "while_loop: state ", i, " becomes ",
                types[i]);
  }
  return types;
}

std::vector<Type> infer_if(const InferArgs& args) {
  WAFER_CHECK(args.subgraphs.size() == 2 && !args.inputs.empty() &&
                  is_boolean_scalar(args.inputs[0].type()),
              "if_else: two subgraphs and a boolean scalar are needed");
  check_subgraph_inputs("if_else", args, 1);
  const Graph &then = *args.subgraphs[0], &otherwise = *args.subgraphs[1];
  WAFER_CHECK(then.outputs.size() == otherwise.outputs.size(), "if_else: branches differ");
  std::vector<Type> types;
  for (size_t i = 0; i < then.outputs.size(); ++i) {
    types.push_back(logical(then.outputs[i].type()));
    WAFER_CHECK(same_type(types[i], otherwise.outputs[i].type()), "if_else: branches differ");
  }
  return types;
}
}  // namespace

const OpDef scan_def = {.name = "scan",
                        .infer = infer_scan,
                        .vjp = scan_vjp,
                        .cost = scan_cost,
                        .read_attrs = Attrs::read<ScanAttrs>};
// The cost is that of one step: how many there are is not known.
const OpDef while_loop_def = {.name = "while_loop",
                              .infer = infer_while,
                              .cost = [](const Node& node) -> Cost {
                                Cost condition = body_cost(*node.subgraphs[0]);
                                Cost body = body_cost(*node.subgraphs[1]);
                                return {condition.flops + body.flops, condition.bytes + body.bytes};
                              },
                              .read_attrs = Attrs::read<WhileAttrs>};
const OpDef if_else_def = {.name = "if_else",
                           .infer = infer_if,
                           .vjp = if_vjp,
                           // That of the dearer branch.
                           .cost = [](const Node& node) -> Cost {
                             Cost a = body_cost(*node.subgraphs[0]);
                             Cost b = body_cost(*node.subgraphs[1]);
                             return {std::max(a.flops, b.flops), std::max(a.bytes, b.bytes)};
                           }};

int64_t scan_length(const Node& node) {
  return length_of(node).value();
}

namespace {
// Steps of a scan over xs; an integer that the options give must agree.
Dim common_length(const Tensors& xs, const ScanOptions& options) {
  if (options.length) {
    WAFER_REQUIRE(*options.length >= 0, "scan", "a length of ", *options.length);
  }
  WAFER_REQUIRE(options.length || !xs.empty(), "scan", "without xs the options must give a length");
  Dim length = options.length ? Dim(*options.length) : Dim(0);
  for (size_t i = 0; i < xs.size(); ++i) {
    WAFER_REQUIRE(xs[i] && xs[i].rank() > 0, "scan", "xs ", i,
                  " is a scalar or empty; expected [length, ...]");
    if (i == 0 && !options.length) length = xs[0].shape()[0];
    if (!(xs[i].shape()[0] == length)) {
      throw UserError("scan", "lengths differ",
                      {.got = str("xs ", i, " of ", xs[i].shape()),
                       .expected = str(length, " along dimension 0")});
    }
  }
  return length;
}
}  // namespace

ScanResult scan(const ScanBody& body, const std::vector<Tensor>& initial,
                const std::vector<Tensor>& xs, const ScanOptions& options) {
  require_values("scan", "the first value of a carry", initial);
  Dim length = common_length(xs, options);
  uint64_t start = Node::next_serial();
  Tensors carries = placeholders_like(initial, "carry"), elements;
  for (size_t i = 0; i < xs.size(); ++i) {
    Type type{xs[i].dtype(), element_shape(xs[i].shape())};
    elements.push_back(make_input(type, str("x", i)));
  }
  ScanStep step = body(carries, elements);
  require_types("scan", "carry", initial, step.carries);
  require_values("scan", "the body", step.ys);
  Tensors outputs = joined({step.carries, step.ys});
  for (size_t i = 0; options.save_carries && i < carries.size(); ++i) {
    bool among_ys = std::find(step.ys.begin(), step.ys.end(), step.carries[i]) != step.ys.end();
    bool derivable = among_ys && length.is_static() && length.value() > 0;
    if (!derivable) outputs.push_back(carries[i]);
  }
  Closed closed = close_over({{joined({carries, elements}), outputs, start}}, true);
  ScanAttrs attrs{static_cast<int64_t>(initial.size()), static_cast<int64_t>(xs.size()),
                  length.is_static() ? length.value() : -1, options.reverse};
  Tensors results =
      make_node(op::scan, joined({initial, xs, closed.captures}), attrs, closed.graphs);
  return {part(results, 0, initial.size()),
          part(results, initial.size(), initial.size() + step.ys.size())};
}

std::vector<Tensor> scan_without(const Node& node, const std::vector<Tensor>& inputs,
                                 const std::vector<bool>& used) {
  auto carries = static_cast<size_t>(node.attr<ScanAttrs>().carries);
  Graph body = *node.subgraphs[0];
  WAFER_CHECK(carries + used.size() == body.outputs.size(),
              "scan_without: one entry a y is needed");
  Tensors outputs = part(body.outputs, 0, carries);
  for (size_t i = 0; i < used.size(); ++i) {
    if (used[i]) outputs.push_back(body.outputs[carries + i]);
  }
  body.outputs = outputs;
  Tensors kept =
      make_node(op::scan, inputs, node.attrs, {std::make_shared<const Graph>(std::move(body))});
  Tensors result = part(kept, 0, carries);
  size_t next = carries;
  for (bool is_used : used) result.push_back(is_used ? kept[next++] : Tensor());
  return result;
}

std::vector<Tensor> while_loop(const std::function<Tensor(const std::vector<Tensor>&)>& condition,
                               const LoopFunction& body, const std::vector<Tensor>& initial) {
  require_values("while_loop", "the first state", initial);
  Recorded test{placeholders_like(initial, "state"), {}, Node::next_serial()};
  test.outputs = {condition(test.parameters)};
  if (!test.outputs[0] || !is_boolean_scalar(test.outputs[0].type())) {
    throw UserError("while_loop", "the condition is no boolean scalar",
                    {.got = test.outputs[0] ? str(test.outputs[0].type()) : "an empty tensor",
                     .expected = str(Type{DType::boolean, {}})});
  }
  Recorded step{placeholders_like(initial, "state"), {}, Node::next_serial()};
  step.outputs = body(step.parameters);
  require_types("while_loop", "state", initial, step.outputs);
  Closed closed = close_over({test, step}, true);
  return make_node(op::while_loop, joined({initial, closed.captures}),
                   WhileAttrs{static_cast<int64_t>(initial.size())}, closed.graphs);
}

std::vector<Tensor> if_else(const Tensor& predicate, const Branch& then, const Branch& otherwise) {
  WAFER_REQUIRE(predicate && predicate.rank() == 0, "if_else", "the predicate is ",
                predicate ? str(predicate.type()) : "empty", "; expected a boolean scalar");
  Recorded first{{}, {}, Node::next_serial()};
  first.outputs = then();
  Recorded second{{}, {}, Node::next_serial()};
  second.outputs = otherwise();
  require_values("if_else", "a branch", first.outputs);
  require_values("if_else", "a branch", second.outputs);
  WAFER_REQUIRE(first.outputs.size() == second.outputs.size(), "if_else", "one branch gives ",
                first.outputs.size(), " values, the other ", second.outputs.size());
  for (size_t i = 0; i < first.outputs.size(); ++i) {
    if (same_type(first.outputs[i].type(), second.outputs[i].type())) continue;
    throw UserError("if_else", str("the branches differ in value ", i),
                    {.got = str(first.outputs[i].type(), " and ", second.outputs[i].type()),
                     .expected = "the same type",
                     .hint = "cast or reshape one of them"});
  }
  Closed closed = close_over({first, second}, false);
  return make_node(op::if_else, joined({{cast(predicate, DType::boolean)}, closed.captures}), {},
                   closed.graphs);
}

}  // namespace wafer
