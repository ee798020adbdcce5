#include "wafer/op/index.h"

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::onnx::exporter {

namespace {
int axis_of(const Node& node) {
  return normalise_axis(node.attr<AxisAttrs>().axis, node.inputs[0].rank(), node.op->name);
}

Refs gather(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  return {e.op("Gather", {x, e.in(node.inputs[1])}, x.dtype, {{"axis", axis_of(node)}})};
}

// ScatterND adds to rows, so the axis and the indices' dimensions come first meanwhile.
Refs scatter_add(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]), updates = e.in(node.inputs[2]);
  Ref indices = e.cast(e.in(node.inputs[1]), DType::i64);
  int axis = axis_of(node), rank = node.inputs[0].rank(), places = node.inputs[1].rank();
  Ints first = {axis}, back, updates_first;
  for (int d = 0; d < places; ++d) updates_first.push_back(axis + d);
  for (int d = 0; d < rank; ++d) {
    if (d != axis) first.push_back(d);
    back.push_back(d < axis ? d + 1 : d == axis ? 0 : d);
  }
  for (int d = 0; d < axis; ++d) updates_first.push_back(d);
  for (int d = axis + places; d < rank - 1 + places; ++d) updates_first.push_back(d);
  if (axis > 0) {
    x = e.transpose(x, first);
    updates = e.transpose(updates, updates_first);
  }
  Ref rows = e.unsqueeze(indices, {places});
  Ref sum = e.op("ScatterND", {x, rows, updates}, x.dtype, {{"reduction", "add"}});
  return {axis > 0 ? e.transpose(sum, back) : sum};
}

Refs gather_elements(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  return {e.op("GatherElements", {x, e.in(node.inputs[1])}, x.dtype, {{"axis", axis_of(node)}})};
}

Refs scatter_elements(Emitter& e, const Node& node) {
  const auto& attrs = node.attr<ScatterElementsAttrs>();
  Ref x = e.in(node.inputs[0]);
  Settings settings = {{"axis", attrs.axis}};
  if (attrs.add) settings.emplace_back("reduction", "add");
  return {
      e.op("ScatterElements", {x, e.in(node.inputs[1]), e.in(node.inputs[2])}, x.dtype, settings)};
}

Refs sort(Emitter& e, const Node& node) {
  const auto& attrs = node.attr<SortAttrs>();
  const Tensor& input = node.inputs[0];
  if (input.rank() == 0) return {e.in(input), e.integer(0)};
  Ref x = e.in(input);
  DType computed = e.computed_in("TopK", x.dtype);
  Ref count = e.dim(input.shape()[static_cast<int>(attrs.axis)]);
  Refs sorted = e.ops("TopK", {e.cast(x, computed), count}, {computed, DType::i64},
                      {{"axis", attrs.axis}, {"largest", attrs.descending ? 1 : 0}, {"sorted", 1}});
  return {e.cast(sorted[0], x.dtype), sorted[1]};
}

const RuleEntry index_table[] = {
    {&op::gather, "Gather", gather},
    {&op::scatter_add, "ScatterND", scatter_add},
    {&op::gather_elements, "GatherElements", gather_elements},
    {&op::scatter_elements, "ScatterElements", scatter_elements},
    {&op::sort, "TopK", sort},
};
}  // namespace

RuleList index_rules() {
  return index_table;
}

}  // namespace wafer::onnx::exporter
