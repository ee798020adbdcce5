#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "wafer/ir/graph.h"

namespace wafer {

// A graph as JSON text, and the constants that are too large for text.
struct GraphText {
  std::string json;
  std::vector<std::pair<std::string, Tensor>> tensors;  // by the names that the text uses
};

// Version 1 of the format:
//   {"format": "wafer-graph", "version": 1, "nodes": [...], "inputs": [0, 1], "outputs": [7],
//    "alias": [...]}
// A node: {"op", "inputs", "attrs", "path", "subgraphs"}, what is empty left out. A value is the
// number of its node, or [node, output] for another output than the first; a node reads earlier
// ones only. Leaves have a "type", such as ["f32", ["batch", 3, 32, 32]], and a constant its bytes,
// little-endian and row-major, in base64 ("data") or under a name of `tensors` ("tensor").
// Attributes: booleans, integers, numbers with a point, texts, lists of integers as in JSON; others
// as {"f64": "inf"}, {"f64s": [...]}, {"dtype": "f32"}, {"shape": [...]}.
// Outputs of other nodes are not written: reading infers them. UserError for a graph whose values
// have a physical layout.
GraphText write_graph(const Graph& graph);

// The tensor of a name of GraphText::tensors.
using TensorLookup = std::function<Tensor(const std::string& name)>;

// The inverse. UserError naming `where` (the file) and the field for text that is no such graph:
// unknown ops, fields or attributes, indices out of range, shapes that do not fit.
Graph read_graph(const std::string& json, const TensorLookup& lookup, const std::string& where);

}  // namespace wafer
