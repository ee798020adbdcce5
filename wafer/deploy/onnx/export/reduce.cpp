#include "wafer/op/reduce.h"

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::onnx::exporter {

namespace {
// Axes are an input of ReduceSum, and from operator set 18 on of the others.
Refs reduce(Emitter& e, const Node& node, const char* name) {
  const Ints& axes = node.attr<ReduceAttrs>().axes;
  Ref x = e.in(node.inputs[0]);
  if (axes.empty()) return {x};  // no axes would mean all of them
  if (std::string(name) != "ReduceSum" && e.opset() < 18)
    return {e.same(name, {x}, {{"axes", axes}, {"keepdims", 0}})};
  DType computed = e.computed_in(name, x.dtype);
  Ref y = e.op(name, {e.cast(x, computed), e.ints(axes)}, computed, {{"keepdims", 0}});
  return {e.cast(y, node.outputs[0].dtype)};
}

Refs reduce_sum(Emitter& e, const Node& node) {
  return reduce(e, node, "ReduceSum");
}
Refs reduce_max(Emitter& e, const Node& node) {
  return reduce(e, node, "ReduceMax");
}
Refs reduce_min(Emitter& e, const Node& node) {
  return reduce(e, node, "ReduceMin");
}
Refs reduce_prod(Emitter& e, const Node& node) {
  return reduce(e, node, "ReduceProd");
}

Refs find(Emitter& e, const Node& node, const char* name) {
  Ref x = e.in(node.inputs[0]);
  x = e.cast(x, e.computed_in(name, x.dtype));
  return {e.op(name, {x}, DType::i64, {{"axis", node.attr<AxisAttrs>().axis}, {"keepdims", 0}})};
}
Refs argmax(Emitter& e, const Node& node) {
  return find(e, node, "ArgMax");
}
Refs argmin(Emitter& e, const Node& node) {
  return find(e, node, "ArgMin");
}

Refs cumsum(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  DType computed = e.computed_in("CumSum", x.dtype);
  Ref axis = e.integer(node.attr<AxisAttrs>().axis);
  return {e.cast(e.op("CumSum", {e.cast(x, computed), axis}, computed), x.dtype)};
}

const RuleEntry reduce_table[] = {
    {&op::reduce_sum, "ReduceSum", reduce_sum},
    {&op::reduce_max, "ReduceMax", reduce_max},
    {&op::reduce_min, "ReduceMin", reduce_min},
    {&op::reduce_prod, "ReduceProd", reduce_prod},
    {&op::argmax, "ArgMax", argmax},
    {&op::argmin, "ArgMin", argmin},
    {&op::cumsum, "CumSum", cumsum},
};
}  // namespace

RuleList reduce_rules() {
  return reduce_table;
}

}  // namespace wafer::onnx::exporter
