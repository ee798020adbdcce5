#include <limits>
#include <numeric>

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/op/create.h"
#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::onnx::exporter {

namespace {
constexpr int64_t to_the_end = std::numeric_limits<int64_t>::max();

Refs reshape(Emitter& e, const Node& node) {
  return {e.reshape(e.in(node.inputs[0]), node.outputs[0].shape)};
}

Refs transpose(Emitter& e, const Node& node) {
  return {e.transpose(e.in(node.inputs[0]), node.attr<TransposeAttrs>().permutation)};
}

Refs broadcast_to(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  return {e.op("Expand", {x, e.shape(node.outputs[0].shape)}, x.dtype)};
}

Refs slice(Emitter& e, const Node& node) {
  const auto& attrs = node.attr<SliceAttrs>();
  const Shape& shape = node.inputs[0].shape();
  Ints starts, ends, axes, steps;
  bool strided = false;
  for (size_t i = 0; i < attrs.start.size(); ++i) {
    const Dim& dim = shape.dims()[i];
    bool whole = attrs.start[i] == 0 && attrs.step[i] == 1 &&
                 (attrs.end[i] == to_the_end || dim == Dim(attrs.end[i]));
    if (whole) continue;
    axes.push_back(static_cast<int64_t>(i));
    starts.push_back(attrs.start[i]);
    ends.push_back(attrs.end[i]);
    steps.push_back(attrs.step[i]);
    strided = strided || attrs.step[i] != 1;
  }
  return {e.slice(e.in(node.inputs[0]), starts, ends, axes, strided ? steps : Ints())};
}

// `interior` elements between those along an axis: each gets a row of its own, which is padded, and
// the last row's padding is cut off again.
Ref spread(Emitter& e, const Ref& x, Shape& shape, int axis, int64_t interior, const Ref& value) {
  if (interior == 0 || shape[axis] == Dim(0)) return x;
  std::vector<Dim> apart = shape.dims();
  apart.insert(apart.begin() + axis + 1, Dim(1));
  Ref rows = e.unsqueeze(x, {axis + 1});
  Ints pads(apart.size() * 2, 0);
  pads[apart.size() + static_cast<size_t>(axis) + 1] = interior;
  Ref padded = e.op("Pad", {rows, e.ints(pads), value}, x.dtype);
  Dim size = shape[axis];
  shape.set(axis, size * Dim(interior + 1));
  Ref joined = e.reshape(padded, shape);
  shape.set(axis, shape[axis] - Dim(interior));
  return e.slice(joined, {0}, {-interior}, {axis});
}

Refs pad(Emitter& e, const Node& node) {
  const auto& attrs = node.attr<PadAttrs>();
  Ref x = e.in(node.inputs[0]);
  Ref value = e.scalar(attrs.value, x.dtype);
  Shape shape = node.inputs[0].shape();
  bool any = false;
  Ints pads = attrs.low;
  pads.insert(pads.end(), attrs.high.begin(), attrs.high.end());
  for (int64_t amount : pads) any = any || amount != 0;
  for (int axis = 0; axis < shape.rank(); ++axis)
    x = spread(e, x, shape, axis, attrs.interior[static_cast<size_t>(axis)], value);
  if (!any) return {x};
  return {e.op("Pad", {x, e.ints(pads), value}, x.dtype)};
}

Refs flip(Emitter& e, const Node& node) {
  const auto& axes = node.attr<AxesAttrs>().axes;
  Ints starts(axes.size(), -1), steps(axes.size(), -1);
  Ints ends(axes.size(), std::numeric_limits<int64_t>::min());
  return {e.slice(e.in(node.inputs[0]), starts, ends, axes, steps)};
}

Refs concat(Emitter& e, const Node& node) {
  Refs parts;
  for (const Tensor& part : node.inputs) parts.push_back(e.in(part));
  return {e.concat(parts, node.attr<AxisAttrs>().axis)};
}

// The block's first element, where it fits.
Ref clamped(Emitter& e, const Tensor& start, const Shape& whole, const Shape& block) {
  std::vector<Dim> most;
  for (int i = 0; i < whole.rank(); ++i) most.push_back(whole[i] - block[i]);
  Ref last = e.shape(Shape(std::move(most)));
  Ref low = e.op("Max", {e.in(start), e.ints({0})}, DType::i64);
  return e.op("Min", {low, last}, DType::i64);
}

Refs dynamic_slice(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]);
  const Shape& block = node.outputs[0].shape;
  if (block.rank() == 0) return {x};
  Ref start = clamped(e, node.inputs[1], node.inputs[0].shape(), block);
  Ref end = e.op("Add", {start, e.shape(block)}, DType::i64);
  return {e.op("Slice", {x, start, end}, x.dtype)};
}

// The update, padded to the whole's size, where a mask that is padded likewise says so.
Refs dynamic_update_slice(Emitter& e, const Node& node) {
  Ref x = e.in(node.inputs[0]), update = e.in(node.inputs[1]);
  const Shape &whole = node.inputs[0].shape(), &block = node.inputs[1].shape();
  if (block.rank() == 0) return {update};
  Ref start = clamped(e, node.inputs[2], whole, block);
  std::vector<Dim> left;
  for (int i = 0; i < whole.rank(); ++i) left.push_back(whole[i] - block[i]);
  Ref after = e.op("Sub", {e.shape(Shape(std::move(left))), start}, DType::i64);
  Ref pads = e.concat({start, after}, 0);
  Ref wide = e.op("Pad", {update, pads, e.scalar(0, x.dtype)}, x.dtype);
  Ref here = e.op("Expand", {e.scalar(1, DType::i32), e.shape(block)}, DType::i32);
  Ref mask = e.op("Pad", {here, pads, e.scalar(0, DType::i32)}, DType::i32);
  return {e.op("Where", {e.cast(mask, DType::boolean), wide, x}, x.dtype)};
}

Refs iota(Emitter& e, const Node& node) {
  const auto& attrs = node.attr<IotaAttrs>();
  const Shape& shape = node.outputs[0].shape;
  DType dtype = node.outputs[0].dtype;
  auto axis = static_cast<int>(attrs.axis);
  Ref count;
  if (shape[axis].is_static()) {
    Ints values(static_cast<size_t>(shape.size(axis)));
    std::iota(values.begin(), values.end(), int64_t{0});
    count = e.ints(values);
  } else {
    Ref limit = e.squeeze(e.dim(shape[axis]), {0});
    count = e.op("Range", {e.integer(0), limit, e.integer(1)}, DType::i64);
  }
  count = e.cast(count, dtype);
  Ints others;
  for (int d = axis + 1; d < shape.rank(); ++d) others.push_back(d - axis);
  count = e.unsqueeze(count, others);
  bool flat = true;
  for (int d = 0; d < shape.rank(); ++d) flat = flat && (d == axis || shape[d] == Dim(1));
  if (flat && axis == 0) return {count};
  return {e.op("Expand", {count, e.shape(shape)}, dtype)};
}

Refs reorder(Emitter& e, const Node& node) {
  return {e.in(node.inputs[0])};  // layouts are no matter of files
}

Refs fused(Emitter& e, const Node& node) {
  Refs in;
  for (const Tensor& input : node.inputs) in.push_back(e.in(input));
  return e.inlined(*node.subgraphs[0], in);
}

const RuleEntry shape_table[] = {
    {&op::reshape, "Reshape", reshape},
    {&op::transpose, "Transpose", transpose},
    {&op::broadcast_to, "Expand", broadcast_to},
    {&op::slice, "Slice", slice},
    {&op::pad, "Pad", pad},
    {&op::flip, "Slice", flip},
    {&op::concat, "Concat", concat},
    {&op::dynamic_slice, "Slice", dynamic_slice},
    {&op::dynamic_update_slice, "Pad, Where", dynamic_update_slice},
    {&op::iota, "Range, Expand", iota},
    {&op::reorder, "nothing", reorder},
    {&op::fused, "its ops", fused},
};
}  // namespace

RuleList shape_rules() {
  return shape_table;
}

}  // namespace wafer::onnx::exporter
