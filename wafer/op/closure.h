#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"

namespace wafer {

// What a function recorded on placeholders.
struct Recorded {
  std::vector<Tensor> parameters;  // the placeholders
  std::vector<Tensor> outputs;
  uint64_t start = 0;  // Node::next_serial() before it ran
};

// Recorded functions as closed graphs, whose inputs are the parameters and then, in each, all the
// captures: the values from outside that any of the functions uses.
struct Closed {
  std::vector<std::shared_ptr<const Graph>> graphs;
  std::vector<Tensor> captures;
};
// `hoist`: what does not depend on the parameters is computed outside, where it stands on outside
// values; else all that a function recorded is inside.
Closed close_over(const std::vector<Recorded>& functions, bool hoist);

// Placeholders of the values' types.
std::vector<Tensor> placeholders_like(const std::vector<Tensor>& values, const std::string& name);

// The type as a value of the program: without the physical layout.
Type logical(const Type& type);

}  // namespace wafer
