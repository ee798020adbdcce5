#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wafer/ir/node.h"

namespace wafer {

// A pure function: inputs in, outputs out. Nodes are reached from the outputs.
struct Graph {
  std::vector<Tensor> inputs;  // `input` nodes; one may be unused
  std::vector<Tensor> outputs;
  // Per output: the index of the input whose buffer it may take over (donation), or -1. Empty =
  // none.
  std::vector<int> alias;

  int alias_of(size_t output) const { return output < alias.size() ? alias[output] : -1; }
};

// Every node that the outputs need, each after those it reads; inputs first, in their order.
std::vector<const Node*> topological_order(const Graph& graph);
std::vector<const Node*> topological_order(const std::vector<Tensor>& outputs);

// The graph as text, one line a node: %3 = conv(%1, %2) {stride=[1, 1]} : f32[64x32x32x32]  //
// cnn.conv1
std::string print(const Graph& graph);

// Checks that inputs are input nodes, types are what infer gives, every reached input is listed and
// aliases have equal types. InternalError naming the node otherwise.
void verify(const Graph& graph);

// Structural hash of ops, attributes, types, edges and the values of small constants.
size_t hash(const Graph& graph);
// True when both compute the same by the same nodes.
bool structurally_equal(const Graph& a, const Graph& b);

// Rewrites bottom-up. `rule` gets a node and its already rewritten inputs, and gives the outputs
// that stand in for it, or nothing to keep the node (copied only when an input changed). New nodes
// get the old one's path.
using RewriteRule =
    std::function<std::optional<std::vector<Tensor>>(const Node&, const std::vector<Tensor>&)>;
Graph rewrite(const Graph& graph, const RewriteRule& rule);

// The outputs of `graph` as part of the caller's graph, with `arguments` in place of its inputs.
std::vector<Tensor> inline_graph(const Graph& graph, const std::vector<Tensor>& arguments);

// A constant's bytes when it is a host constant of at most `limit` bytes, else nothing.
std::optional<std::span<const std::byte>> small_constant(const Node& node, size_t limit = 1024);

}  // namespace wafer
