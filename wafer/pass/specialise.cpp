#include "wafer/pass/specialise.h"

#include "wafer/op/op.h"

namespace wafer {

namespace {
// Shapes inside attributes (reshape, broadcast_to, ...) carry symbols too.
Attrs bind_attrs(const Node& node, const std::map<std::string, int64_t>& bindings) {
  AttrList list = node.attrs.list();
  bool changed = false;
  for (auto& [name, value] : list) {
    if (auto* shape = std::get_if<Shape>(&value); shape && !shape->is_static()) {
      *shape = shape->bind(bindings);
      changed = true;
    }
  }
  return changed ? node.op->read_attrs(list) : node.attrs;
}
}  // namespace

Graph specialise(const Graph& graph, const std::map<std::string, int64_t>& bindings) {
  return rewrite(graph,
                 [&](const Node& node,
                     const std::vector<Tensor>& inputs) -> std::optional<std::vector<Tensor>> {
                   if (node.is(op::input)) {
                     Type type = node.outputs[0];
                     if (type.shape.is_static()) return std::nullopt;
                     type.shape = type.shape.bind(bindings);
                     return std::vector<Tensor>{make_input(type, node.attr<InputAttrs>().name)};
                   }
                   if (node.is(op::constant)) return std::nullopt;
                   auto subgraphs = node.subgraphs;
                   for (auto& subgraph : subgraphs)
                     subgraph = std::make_shared<const Graph>(specialise(*subgraph, bindings));
                   return make_node(*node.op, inputs, bind_attrs(node, bindings), subgraphs);
                 });
}

std::map<std::string, int64_t> match_inputs(const Graph& graph, const std::vector<Type>& types) {
  WAFER_REQUIRE(types.size() == graph.inputs.size(), "graph", "takes ", graph.inputs.size(),
                " inputs; got ", types.size());
  std::map<std::string, int64_t> bindings;
  for (size_t i = 0; i < types.size(); ++i) {
    const Type& wanted = graph.inputs[i].type();
    auto fail = [&] {
      throw UserError(graph.inputs[i].node().attr<InputAttrs>().name, "the input does not fit",
                      {.got = str(types[i]), .expected = str(wanted)});
    };
    if (wanted.dtype != types[i].dtype || wanted.shape.rank() != types[i].shape.rank()) fail();
    for (int d = 0; d < wanted.shape.rank(); ++d) {
      const Dim& dim = wanted.shape[d];
      int64_t size = types[i].shape.size(d);
      std::string symbol = dim.text();
      bool plain = !dim.is_static() && Dim::symbol(symbol) == dim;
      if (plain && !bindings.count(symbol)) bindings[symbol] = size;
      Dim bound = dim.bind(bindings);
      if (!bound.is_static() || bound.value() != size) fail();
    }
  }
  return bindings;
}

}  // namespace wafer
