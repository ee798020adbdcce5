#include "wafer/op/shape_ops.h"

#include <algorithm>
#include <cstring>

#include "wafer/backend/cpu/strided_copy.h"
#include "wafer/op/layout.h"
#include "wafer/runtime/kernel.h"

// Ops that move elements: each is one strided copy (or a few), in any layout of its values.
namespace wafer::cpu {

namespace {
using Sizes = std::vector<int64_t>;

std::byte* advance(void* data, int64_t bytes) {
  return static_cast<std::byte*>(data) + bytes;
}

// Distance in elements of the element at `index` from the first.
int64_t offset_of(const Sizes& index, const Sizes& strides) {
  int64_t offset = 0;
  for (size_t i = 0; i < index.size(); ++i) offset += index[i] * strides[i];
  return offset;
}

int64_t element_bytes(const Type& type) {
  return static_cast<int64_t>(byte_size(type.dtype, 1));
}

// Starts of a dynamic slice, moved so that the block fits.
Sizes clamped_start(const int64_t* start, const Sizes& whole, const Sizes& block) {
  Sizes result(whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    result[i] = std::clamp<int64_t>(start[i], 0, whole[i] - block[i]);
  }
  return result;
}

Step copy_step(StridedCopy copy, int64_t from_offset_bytes = 0) {
  return [copy = std::move(copy), from_offset_bytes](const StepArgs& args) {
    copy.run(args.out[0], static_cast<const std::byte*>(args.in[0]) + from_offset_bytes);
  };
}
}  // namespace

WAFER_KERNEL(reorder) {
  context.kernel = "strided copy";
  return copy_step(layout_copy(node.outputs[0], node.inputs[0].type()));
}

WAFER_KERNEL(reshape) {
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  context.kernel = "copy";
  Type from_rows = from, to_rows = to;
  from_rows.layout = to_rows.layout = Layout::row_major;
  if (from.layout == Layout::row_major) return copy_step(layout_copy(to, to_rows));
  if (to.layout == Layout::row_major) return copy_step(layout_copy(from_rows, from));
  // By way of row-major order, the only one that a reshape keeps.
  context.scratch_bytes = to.bytes();
  StridedCopy unpack = layout_copy(from_rows, from), pack = layout_copy(to, to_rows);
  return [unpack, pack](const StepArgs& args) {
    unpack.run(args.scratch, args.in[0]);
    pack.run(args.out[0], args.scratch);
  };
}

WAFER_KERNEL(transpose) {
  const auto& permutation = node.attr<TransposeAttrs>().permutation;
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  Sizes from_strides = from.strides(), permuted;
  for (int64_t axis : permutation) permuted.push_back(from_strides[static_cast<size_t>(axis)]);
  context.kernel = "strided copy";
  return copy_step({byte_size(to.dtype, 1), to.shape.sizes(), to.strides(), permuted});
}

WAFER_KERNEL(broadcast_to) {
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  Sizes sizes = from.shape.sizes(), strides = from.strides();
  Sizes widened(static_cast<size_t>(to.shape.rank()));
  size_t added = widened.size() - sizes.size();
  for (size_t i = 0; i < sizes.size(); ++i) widened[added + i] = sizes[i] == 1 ? 0 : strides[i];
  context.kernel = "strided copy";
  return copy_step({byte_size(to.dtype, 1), to.shape.sizes(), to.strides(), widened});
}

WAFER_KERNEL(slice) {
  const auto& attrs = node.attr<SliceAttrs>();
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  Sizes strides = from.strides();
  int64_t offset = offset_of(attrs.start, strides) * element_bytes(from);
  for (size_t i = 0; i < strides.size(); ++i) strides[i] *= attrs.step[i];
  context.kernel = "strided copy";
  return copy_step({byte_size(to.dtype, 1), to.shape.sizes(), to.strides(), strides}, offset);
}

WAFER_KERNEL(flip) {
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  Sizes sizes = from.shape.sizes(), strides = from.strides(), start(sizes.size());
  for (int64_t axis : node.attr<AxesAttrs>().axes) {
    auto i = static_cast<size_t>(axis < 0 ? axis + from.shape.rank() : axis);
    if (sizes[i] == 0) continue;
    start[i] = sizes[i] - 1;
  }
  int64_t offset = offset_of(start, strides) * element_bytes(from);
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (start[i] > 0) strides[i] = -strides[i];
  }
  context.kernel = "strided copy";
  return copy_step({byte_size(to.dtype, 1), sizes, to.strides(), strides}, offset);
}

WAFER_KERNEL(pad) {
  const auto& attrs = node.attr<PadAttrs>();
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  Sizes from_sizes = from.shape.sizes(), to_sizes = to.shape.sizes();
  Sizes from_strides = from.strides(), to_strides = to.strides();
  Sizes kept(from_sizes.size()), first(from_sizes.size()), target(from_sizes.size());
  bool covered = true;  // no element of the output is padding
  for (size_t i = 0; i < kept.size(); ++i) {
    // Element e of the input goes to low + e * step; those that land outside are cut off.
    int64_t step = attrs.interior[i] + 1, low = attrs.low[i];
    first[i] = low < 0 ? (-low + step - 1) / step : 0;
    int64_t room = to_sizes[i] - 1 - low;
    int64_t last = room < 0 ? -1 : std::min(from_sizes[i] - 1, room / step);
    kept[i] = std::max<int64_t>(0, last - first[i] + 1);
    target[i] = low + first[i] * step;
    covered = covered && kept[i] == to_sizes[i];
    to_strides[i] *= step;
  }
  int64_t from_offset = offset_of(first, from_strides) * element_bytes(from);
  int64_t to_offset = offset_of(target, to.strides()) * element_bytes(to);
  StridedCopy copy(byte_size(to.dtype, 1), kept, to_strides, from_strides);
  StridedCopy fill(byte_size(to.dtype, 1), {to.elements()}, {1}, {0});
  uint64_t value = 0;  // the bits of the padding value in its first bytes
  visit(to.dtype, [&]<class T>(std::type_identity<T>) {
    T typed = static_cast<T>(attrs.value);
    std::memcpy(&value, &typed, sizeof typed);
  });
  context.kernel = "strided copy";
  return [=](const StepArgs& args) {
    if (!covered) fill.run(args.out[0], &value);
    copy.run(advance(args.out[0], to_offset),
             static_cast<const std::byte*>(args.in[0]) + from_offset);
  };
}

WAFER_KERNEL(concat) {
  const Type& to = node.outputs[0];
  int64_t axis = node.attr<AxisAttrs>().axis;
  auto along = static_cast<size_t>(axis < 0 ? axis + to.shape.rank() : axis);
  Sizes to_strides = to.strides();
  struct Part {
    StridedCopy copy;
    int64_t offset;
  };
  std::vector<Part> parts;
  int64_t position = 0;
  for (const Tensor& input : node.inputs) {
    const Type& from = input.type();
    parts.push_back({{byte_size(to.dtype, 1), from.shape.sizes(), to_strides, from.strides()},
                     position * to_strides[along] * element_bytes(to)});
    position += from.shape.size(static_cast<int>(along));
  }
  context.kernel = "strided copy";
  return [parts = std::move(parts)](const StepArgs& args) {
    for (size_t i = 0; i < parts.size(); ++i) {
      parts[i].copy.run(advance(args.out[0], parts[i].offset), args.in[i]);
    }
  };
}

WAFER_KERNEL(dynamic_slice) {
  const Type &from = node.inputs[0].type(), &to = node.outputs[0];
  Sizes whole = from.shape.sizes(), block = to.shape.sizes(), strides = from.strides();
  StridedCopy copy(byte_size(to.dtype, 1), block, to.strides(), strides);
  int64_t bytes = element_bytes(from);
  context.kernel = "strided copy";
  return [=](const StepArgs& args) {
    Sizes start = clamped_start(args.input<int64_t>(1), whole, block);
    copy.run(args.out[0],
             static_cast<const std::byte*>(args.in[0]) + offset_of(start, strides) * bytes);
  };
}

WAFER_KERNEL(dynamic_update_slice) {
  const Type &x = node.inputs[0].type(), &update = node.inputs[1].type(), &to = node.outputs[0];
  Sizes whole = to.shape.sizes(), block = update.shape.sizes(), strides = to.strides();
  StridedCopy keep = layout_copy(to, x);
  StridedCopy copy(byte_size(to.dtype, 1), block, strides, update.strides());
  int64_t bytes = element_bytes(to);
  context.kernel = "strided copy";
  return [=](const StepArgs& args) {
    if (args.out[0] != args.in[0]) keep.run(args.out[0], args.in[0]);
    Sizes start = clamped_start(args.input<int64_t>(2), whole, block);
    copy.run(advance(args.out[0], offset_of(start, strides) * bytes), args.in[1]);
  };
}

}  // namespace wafer::cpu
