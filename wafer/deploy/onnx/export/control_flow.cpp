#include "wafer/op/control_flow.h"

#include <limits>

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/op/op.h"

namespace wafer::onnx::exporter {

namespace {
// Subgraphs see the values of the graphs around them, so captures need no inputs.
Refs values_of(Emitter& e, const std::vector<Tensor>& tensors, size_t from) {
  Refs refs;
  for (size_t i = from; i < tensors.size(); ++i) refs.push_back(e.in(tensors[i]));
  return refs;
}

Refs joined(Refs a, const Refs& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Type> types_of(const std::vector<Tensor>& tensors, size_t from, size_t to) {
  std::vector<Type> types;
  for (size_t i = from; i < to; ++i) types.push_back(tensors[i].type());
  return types;
}

std::vector<DType> dtypes_of(const Node& node) {
  std::vector<DType> dtypes;
  for (const Type& type : node.outputs) dtypes.push_back(type.dtype);
  return dtypes;
}

const Type truth{DType::boolean, Shape()}, number{DType::i64, Shape()};

// A scan of a number of steps alone is a Loop; Scan needs something to scan.
Refs counted(Emitter& e, const Node& node) {
  const auto& attrs = node.attr<ScanAttrs>();
  const Graph& body = *node.subgraphs[0];
  auto carries = static_cast<size_t>(attrs.carries);
  Refs captures = values_of(e, node.inputs, carries);
  std::vector<Type> in = {number, truth}, out = {truth};
  for (const Type& type : types_of(body.inputs, 0, carries)) in.push_back(type);
  for (const Type& type : types_of(body.outputs, 0, body.outputs.size())) out.push_back(type);
  auto graph = e.subgraph(
      in,
      [&](const Refs& refs) {
        Refs states(refs.begin() + 2, refs.end());
        return joined({refs[1]}, e.inlined(body, joined(states, captures)));
      },
      out);
  Refs arguments = {e.integer(scan_length(node)), Ref()};
  for (size_t i = 0; i < carries; ++i) arguments.push_back(e.in(node.inputs[i]));
  if (carries == 0) arguments[1] = e.scalar(1, DType::boolean);
  Refs results = e.ops("Loop", arguments, dtypes_of(node), {{"body", graph}});
  if (!attrs.reverse) return results;
  for (size_t i = carries; i < results.size(); ++i)
    results[i] = e.slice(results[i], {-1}, {std::numeric_limits<int64_t>::min()}, {0}, {-1});
  return results;
}

Refs scan(Emitter& e, const Node& node) {
  const auto& attrs = node.attr<ScanAttrs>();
  if (attrs.xs == 0) return counted(e, node);
  const Graph& body = *node.subgraphs[0];
  auto carries = static_cast<size_t>(attrs.carries);
  size_t arguments = carries + static_cast<size_t>(attrs.xs);
  Refs captures = values_of(e, node.inputs, arguments);
  auto graph = e.subgraph(
      types_of(body.inputs, 0, arguments),
      [&](const Refs& refs) { return e.inlined(body, joined(refs, captures)); },
      types_of(body.outputs, 0, body.outputs.size()));
  Refs in;
  for (size_t i = 0; i < arguments; ++i) in.push_back(e.in(node.inputs[i]));
  Settings settings = {{"body", graph}, {"num_scan_inputs", attrs.xs}};
  if (attrs.reverse) {
    size_t ys = body.outputs.size() - carries;
    settings.emplace_back("scan_input_directions", Ints(static_cast<size_t>(attrs.xs), 1));
    if (ys > 0) settings.emplace_back("scan_output_directions", Ints(ys, 1));
  }
  return e.ops("Scan", in, dtypes_of(node), settings);
}

Refs while_loop(Emitter& e, const Node& node) {
  auto states = static_cast<size_t>(node.attr<WhileAttrs>().states);
  const Graph &condition = *node.subgraphs[0], &body = *node.subgraphs[1];
  Refs first, captures = values_of(e, node.inputs, states);
  for (size_t i = 0; i < states; ++i) first.push_back(e.in(node.inputs[i]));
  Ref begins = e.inlined(condition, joined(first, captures))[0];
  std::vector<Type> in = {number, truth}, out = {truth};
  for (const Type& type : types_of(body.inputs, 0, states)) in.push_back(type);
  for (const Type& type : types_of(body.outputs, 0, states)) out.push_back(type);
  auto graph = e.subgraph(
      in,
      [&](const Refs& refs) {
        Refs now(refs.begin() + 2, refs.end());
        Refs next = e.inlined(body, joined(now, captures));
        return joined(e.inlined(condition, joined(next, captures)), next);
      },
      out);
  return e.ops("Loop", joined({Ref(), begins}, first), dtypes_of(node), {{"body", graph}});
}

Refs if_else(Emitter& e, const Node& node) {
  Refs captures = values_of(e, node.inputs, 1);
  auto branch = [&](const Graph& graph) {
    return e.subgraph(
        {}, [&](const Refs&) { return e.inlined(graph, captures); },
        types_of(graph.outputs, 0, graph.outputs.size()));
  };
  auto then = branch(*node.subgraphs[0]), otherwise = branch(*node.subgraphs[1]);
  return e.ops("If", {e.in(node.inputs[0])}, dtypes_of(node),
               {{"then_branch", then}, {"else_branch", otherwise}});
}

const RuleEntry control_flow_table[] = {
    {&op::scan, "Scan, Loop", scan},
    {&op::while_loop, "Loop", while_loop},
    {&op::if_else, "If", if_else},
};
}  // namespace

RuleList control_flow_rules() {
  return control_flow_table;
}

}  // namespace wafer::onnx::exporter
