#pragma once
#include <string>
#include <vector>

#include "wafer/ir/graph.h"
#include "wafer/nn/module.h"

namespace wafer::nn {

// A model that is a graph: one that was read from a file, and has no code here. It has the
// parameters and buffers of the model it was made from, under their names ("conv1.weight").
class GraphModule : public UnaryModule {
 public:
  // graph: its inputs are the parameters, then the buffers, by the names of their input nodes, and
  // last the tensor that forward() takes; it has one output. Dimensions of that last input may be
  // symbols, which forward() binds. `parameters`: how many of the inputs are parameters. `values`:
  // what parameters and buffers hold. UserError naming a value that is missing, is not in the graph
  // or is of another type.
  GraphModule(Graph graph, size_t parameters, const StateDict& values);

  // UserError when x does not fit the graph's input. The mode makes no difference: a graph is of
  // the mode it was traced in.
  Tensor forward(const Tensor& x) override;
  std::string describe() const override { return "Graph"; }

  const Graph& graph() const { return graph_; }

 private:
  Graph graph_;
  std::vector<Tensor> values_;  // of the graph's inputs but the last
  Type bound_to_;               // the input type that bound_ is for
  Graph bound_;
};

}  // namespace wafer::nn
