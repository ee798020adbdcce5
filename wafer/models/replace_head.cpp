#include "wafer/models/replace_head.h"

#include <algorithm>
#include <set>

#include "wafer/base/strings.h"
#include "wafer/nn/linear.h"
#include "wafer/op/conv.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/pool.h"
#include "wafer/op/reduce.h"
#include "wafer/op/softmax.h"

namespace wafer::models {

namespace {
// The nodes that one of the inputs [first, last) reaches.
std::set<const Node*> reached_from(const Graph& graph, size_t first, size_t last) {
  std::set<const Node*> reached;
  for (size_t i = first; i < last; ++i) reached.insert(&graph.inputs[i].node());
  for (const Node* node : topological_order(graph)) {
    for (const Tensor& input : node->inputs)
      if (reached.count(&input.node())) reached.insert(node);
  }
  return reached;
}

// Whether each place of the image is multiplied with the same matrix: a linear layer of each.
bool is_linear_of_places(const Node& convolution) {
  const Shape& weight = convolution.inputs[1].shape();
  for (int i = 2; i < weight.rank(); ++i)
    if (!(weight[i] == Dim(1))) return false;
  return convolution.attr<ConvAttrs>().groups == 1;
}

// What the last linear layer reads: [..., features]; [batch, features, ...] where the layer is a
// 1x1 convolution whose outputs are then averaged over all places.
Tensor input_of_last_layer(const GraphParts& parts, const std::string& where) {
  const Graph& graph = parts.graph;
  auto of_batch = reached_from(graph, graph.inputs.size() - 1, graph.inputs.size());
  auto of_parameters = reached_from(graph, 0, parts.parameters);
  auto fail = [&](const std::string& why) {
    throw UserError(
        where, str("the model's last layer cannot be replaced: ", why),
        {.hint = "give it as many outputs as the data have classes, and save it again"});
  };
  Tensor value = graph.outputs.at(0);
  bool averaged = false;
  for (;;) {
    const Node& node = value.node();
    std::vector<Tensor> followed, others;
    for (const Tensor& input : node.inputs)
      (of_batch.count(&input.node()) ? followed : others).push_back(input);
    if (followed.size() != 1) fail(str("the output comes from ", node.op->name));
    if (!averaged && node.is(op::matmul)) {
      bool first = followed[0] == node.inputs[0];
      if (!of_parameters.count(&others[0].node())) fail("its factor is no parameter");
      if (!first || node.attr<MatmulAttrs>().transpose_a)
        fail("it multiplies the weights from the left");
      return followed[0];
    }
    if (averaged && node.is(op::conv) && is_linear_of_places(node)) {
      if (!(value.shape()[1] == graph.outputs[0].shape()[-1])) fail("it has other outputs");
      if (!of_parameters.count(&others[0].node())) fail("its factor is no parameter");
      return followed[0];
    }
    bool average = node.is(op::reduce_sum) || node.is(op::avg_pool);
    averaged = averaged || average;
    bool passed = node.op->elementwise || average || node.is(op::reshape) || node.is(op::softmax) ||
                  node.is(op::log_softmax);
    if (!passed) fail(str("the output comes from ", node.op->name, ", not from a linear layer"));
    value = followed[0];
  }
}
}  // namespace

std::string replace_head(GraphParts& parts, int64_t outputs, uint64_t seed,
                         const std::string& where) {
  Tensor features = input_of_last_layer(parts, where);
  const Shape before = parts.graph.outputs[0].shape();
  std::string of_what;
  if (features.rank() > before.rank()) {
    of_what = ", of the mean over all places";
    Axes places;
    for (int64_t i = 2; i < features.rank(); ++i) places.push_back(i);
    features = mean(features, places);
  }
  WAFER_REQUIRE(
      features.rank() >= 2 && features.shape()[-1].is_static() && features.dtype() == DType::f32,
      where, "the model's last layer cannot be replaced: it reads ", features.type());
  nn::Linear layer(features.size(-1), outputs);
  layer.initialise(seed);

  // The old head's parameters go where nothing else reads them.
  Graph trimmed = parts.graph;
  trimmed.outputs = {features};
  std::set<const Node*> read;
  for (const Node* node : topological_order(trimmed.outputs)) read.insert(node);
  GraphParts result;
  auto keep = [&](size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
      const Tensor& input = parts.graph.inputs[i];
      if (!read.count(&input.node())) continue;
      const std::string& name = input.node().attr<InputAttrs>().name;
      result.graph.inputs.push_back(input);
      result.values[name] = parts.values.at(name);
    }
  };
  keep(0, parts.parameters);
  std::string prefix = "head";
  for (const auto& [name, value] : result.values) {
    if (name == prefix || name.starts_with(prefix + ".")) prefix += "_";
  }
  PathScope path = PathScope::whole(prefix);
  Tensor weight = make_input(layer.weight.type(), prefix + ".weight"),
         bias = make_input(layer.bias.type(), prefix + ".bias");
  result.graph.inputs.insert(result.graph.inputs.end(), {weight, bias});
  result.values[prefix + ".weight"] = layer.weight;
  result.values[prefix + ".bias"] = layer.bias;
  result.parameters = result.graph.inputs.size();
  keep(parts.parameters, parts.graph.inputs.size() - 1);
  result.graph.inputs.push_back(parts.graph.inputs.back());
  result.graph.outputs = {linear(features, weight, bias)};
  parts = std::move(result);
  return str("the last layer, which gave ", before[before.rank() - 1],
             " outputs, is replaced by a new one: linear, ", features.size(-1), " -> ", outputs,
             of_what);
}

bool drop_softmax(Graph& graph) {
  const Node& node = graph.outputs.at(0).node();
  if (!node.is(op::softmax)) return false;
  Tensor scores = node.inputs[0];  // the node goes with the output
  graph.outputs[0] = scores;
  return true;
}

}  // namespace wafer::models
