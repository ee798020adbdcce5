#pragma once
#include <string>

#include "wafer/ir/graph.h"
#include "wafer/nn/module.h"

namespace wafer::models {

// What an nn::GraphModule is made of.
struct GraphParts {
  Graph graph;            // inputs: parameters, buffers, the batch; one output
  size_t parameters = 0;  // how many of the inputs
  nn::StateDict values;   // by the inputs' names
};

// Puts a new linear layer, drawn from the seed, in place of the last one: the last product of
// values that depend on the batch with parameters. Where that is a 1x1 convolution before a mean
// over all places, as in SqueezeNet, the new layer reads the mean of what the old one read. What
// follows it (bias, softmax) is left out; its parameters are "head.weight" and "head.bias". Returns
// a line that says what was done. UserError naming `where` when what gives the output is no such
// layer.
std::string replace_head(GraphParts& parts, int64_t outputs, uint64_t seed,
                         const std::string& where);

// Leaves out a softmax at the end, which the loss includes. True when there was one.
bool drop_softmax(Graph& graph);

}  // namespace wafer::models
