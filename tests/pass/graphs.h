#pragma once
#include "wafer/ir/graph.h"
#include "wafer/op/op.h"

// Small graphs to run passes on, and what is counted in them after.
namespace wafer::testing {

inline Tensor f32(const Shape& shape, const char* name = "x") {
  return make_input({DType::f32, shape}, name);
}

// Nodes of an op.
inline size_t count(const Graph& graph, const OpDef& op) {
  size_t result = 0;
  for (const Node* node : topological_order(graph)) result += node->is(op);
  return result;
}

// Nodes that compute.
inline size_t count(const Graph& graph) {
  size_t result = 0;
  for (const Node* node : topological_order(graph))
    result += !node->is(op::input) && !node->is(op::constant);
  return result;
}

}  // namespace wafer::testing
