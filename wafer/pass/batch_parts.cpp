#include "wafer/pass/batch_parts.h"

#include <algorithm>

#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"
#include "wafer/pass/examples.h"

namespace wafer {

namespace {
// Operations of convolutions and products for each value that they read and write of a batch, below
// which memory decides: 46 in MobileNetV2, 720 in ResNet-18. A small CNN of 136 lost a tenth.
constexpr double few_operations = 80;

constexpr int most_dimensions = 8;  // of a Shape

// What a batch costs by the steps that move most: convolutions, products and pools.
struct Traffic {
  int steps = 0;
  double operations = 0, values = 0;
  double largest = 0;  // bytes of the step that moves most
  double moved = 0;    // bytes of the batch
  double shared = 0;   // bytes of what all examples share

  Traffic(const Graph& graph, const Examples& examples) {
    for (const Node* node : topological_order(graph)) {
      bool counts = node->is(op::conv) || node->is(op::matmul) || node->is(op::max_pool) ||
                    node->is(op::avg_pool);
      if (counts && examples.rows(node->inputs[0]) > 0) add(*node);
    }
  }

 private:
  void add(const Node& node) {
    const Type &in = node.inputs[0].type(), &out = node.outputs[0];
    auto bytes = static_cast<double>(in.bytes() + out.bytes());
    operations += cost(node).flops;
    values += static_cast<double>(in.elements() + out.elements());
    ++steps;
    moved += bytes;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      shared += static_cast<double>(node.inputs[i].type().bytes());
    largest = std::max(largest, bytes);
  }
};

bool known_types(const Graph& graph) {
  for (const Node* node : topological_order(graph)) {
    for (const Type& type : node->outputs) {
      if (!type.shape.is_static() || type.layout != Layout::row_major) return false;
    }
  }
  return true;
}
}  // namespace

Graph run_batch_in_parts(const Graph& graph, size_t cache_bytes) {
  bool in_place = std::any_of(graph.alias.begin(), graph.alias.end(), [](int a) { return a >= 0; });
  if (in_place || graph.inputs.empty() || graph.outputs.empty() || !known_types(graph))
    return graph;
  const Shape& first = graph.inputs[0].shape();
  int64_t batch = first.rank() > 0 ? first.size(0) : 0;
  if (batch < 2) return graph;
  Examples examples(graph, batch);
  if (!examples.apart()) return graph;
  Traffic traffic(graph, examples);
  // One step alone leaves nothing to the next.
  if (traffic.steps < 2 || traffic.moved == 0 ||
      traffic.operations >= few_operations * traffic.values)
    return graph;
  // Weights that are no constants would be prepared again for each part. A scan over parts has one
  // dimension more.
  auto fits = [&](const Tensor& value) {
    return examples.rows(value) > 0 && value.rank() < most_dimensions;
  };
  if (!std::all_of(graph.inputs.begin(), graph.inputs.end(), fits) ||
      !std::all_of(graph.outputs.begin(), graph.outputs.end(), fits))
    return graph;
  auto room = static_cast<int64_t>(static_cast<double>(cache_bytes) /
                                   (traffic.largest / static_cast<double>(batch)));
  int64_t part = std::min(batch, room);
  while (part > 1 && batch % part != 0) --part;
  // A batch without a divisor near to what fits would run in crumbs.
  if (part < 1 || part == batch || 4 * part < room) return graph;
  // Each part reads what all share.
  if (static_cast<double>(batch / part - 1) * traffic.shared > traffic.moved) return graph;

  Graph body = examples.part_of(graph, part);
  Dim parts(batch / part);
  // A scan takes elements along dimension 0 of its inputs.
  std::vector<Tensor> taken;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    auto dims = body.inputs[i].shape().dims();
    dims.insert(dims.begin(), parts);
    taken.push_back(make(op::reshape, {graph.inputs[i]}, ShapeAttrs{Shape(std::move(dims))}));
  }
  ScanAttrs attrs{.carries = 0, .xs = static_cast<int64_t>(taken.size()), .length = parts.value()};
  body.alias.clear();
  Graph result{graph.inputs, {}, {}};
  std::vector<Tensor> stacked = make_node(op::scan, std::move(taken), attrs,
                                          {std::make_shared<const Graph>(std::move(body))});
  for (size_t i = 0; i < stacked.size(); ++i)
    result.outputs.push_back(make(op::reshape, {stacked[i]}, ShapeAttrs{graph.outputs[i].shape()}));
  return result;
}

}  // namespace wafer
