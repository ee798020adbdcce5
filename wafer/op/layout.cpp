#include "wafer/op/layout.h"

#include "wafer/op/op.h"

namespace wafer {

const OpDef reorder_def = {.name = "reorder",
                           .infer = [](const InferArgs& args) -> std::vector<Type> {
                             auto layout =
                                 static_cast<Layout>(args.attrs.as<ReorderAttrs>().layout);
                             return {Type{args.inputs[0].dtype(), args.inputs[0].shape(), layout}};
                           },
                           .cost = [](const Node& node) -> Cost {
                             return {0, bytes_touched(node)};
                           },
                           .read_attrs = Attrs::read<ReorderAttrs>};

const OpDef fused_def = {.name = "fused",
                         .infer = [](const InferArgs& args) -> std::vector<Type> {
                           std::vector<Type> types;
                           for (const auto& group : args.subgraphs) {
                             for (const Tensor& output : group->outputs)
                               types.push_back(output.type());
                           }
                           return types;
                         },
                         .cost = [](const Node& node) -> Cost {
                           double flops = 0;
                           for (const auto& group : node.subgraphs) {
                             for (const Node* inner : topological_order(*group))
                               flops += cost(*inner).flops;
                           }
                           return {flops, bytes_touched(node)};
                         }};

Tensor reorder(const Tensor& x, Layout layout) {
  if (x.type().layout == layout) return x;
  return make(op::reorder, {x}, ReorderAttrs{static_cast<int64_t>(layout)});
}

std::vector<Tensor> fuse(std::shared_ptr<const Graph> group, const std::vector<Tensor>& inputs) {
  return fuse_together({std::move(group)}, inputs);
}

std::vector<Tensor> fuse_together(std::vector<std::shared_ptr<const Graph>> groups,
                                  const std::vector<Tensor>& inputs) {
  return make_node(op::fused, inputs, {}, std::move(groups));
}

std::vector<FusedGroup> groups_of(const Node& fused) {
  std::vector<FusedGroup> groups;
  size_t input = 0, output = 0;
  for (const auto& graph : fused.subgraphs) {
    groups.push_back({graph.get(), input, output});
    input += graph->inputs.size();
    output += graph->outputs.size();
  }
  return groups;
}

}  // namespace wafer
