#include "wafer/nn/graph_module.h"

#include <set>

#include "wafer/base/strings.h"
#include "wafer/pass/specialise.h"

namespace wafer::nn {

GraphModule::GraphModule(Graph graph, size_t parameters, const StateDict& values)
    : graph_(std::move(graph)) {
  WAFER_REQUIRE(graph_.outputs.size() == 1 && parameters < graph_.inputs.size(), "graph",
                "a model's graph has one output, and one input besides its parameters and buffers; "
                "got ",
                graph_.outputs.size(), " outputs, ", graph_.inputs.size(), " inputs and ",
                parameters, " parameters");
  std::set<std::string> used;
  values_.reserve(graph_.inputs.size() - 1);  // parameters are kept by address
  for (size_t i = 0; i + 1 < graph_.inputs.size(); ++i) {
    const std::string& name = graph_.inputs[i].node().attr<InputAttrs>().name;
    auto found = values.find(name);
    WAFER_REQUIRE(found != values.end(), "graph", "the value of '", name, "' is missing");
    const Type &wanted = graph_.inputs[i].type(), &got = found->second.type();
    if (!(wanted.dtype == got.dtype && wanted.shape == got.shape)) {
      throw UserError("graph", str("the value of '", name, "' does not fit"),
                      {.got = str(got), .expected = str(wanted), .hint = ""});
    }
    values_.push_back(found->second);
    used.insert(name);
    if (i < parameters)
      parameter(name, values_.back());
    else
      buffer(name, values_.back());
  }
  for (const auto& [name, value] : values) {
    WAFER_REQUIRE(used.contains(name), "graph", "the value '", name, "' is not in the graph");
  }
}

Tensor GraphModule::forward(const Tensor& x) {
  const Tensor& wanted = graph_.inputs.back();
  const Graph* graph = &graph_;
  if (!(x.dtype() == wanted.dtype() && x.shape() == wanted.shape())) {
    if (bound_.inputs.empty() || !(bound_to_ == x.type())) {
      std::vector<Type> types;
      for (const Tensor& input : graph_.inputs) types.push_back(input.type());
      types.back() = x.type();
      WAFER_REQUIRE(x.shape().is_static(), "graph", "an input of ", x.type(), " does not fit ",
                    wanted.type());
      bound_ = specialise(graph_, match_inputs(graph_, types));
      bound_to_ = x.type();
    }
    graph = &bound_;
  }
  std::vector<Tensor> arguments = values_;
  arguments.push_back(x);
  return inline_graph(*graph, arguments).at(0);
}

}  // namespace wafer::nn
