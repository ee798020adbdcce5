#include "wafer/op/index.h"

#include <algorithm>

#include "wafer/kernel/device/lines.h"
#include "wafer/kernel/device/session.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

// Ops that read or write where integers point; an index out of range is the nearest one in range.
// Scattered sums are added in the order of the updates, so that they are the same at each run: a
// work item has some columns of the result to itself.
namespace wafer::kernel {

namespace {
constexpr std::string_view index_source = R"(
WF_FUNCTION WF_I64 wrapped(WF_I64 index, WF_I64 size) {
  index = index < 0 ? index + size : index;
  return min(max(index, (WF_I64)0), size - 1);
}
// p: items, columns of an item, size of x's axis, indices, inner, items across.
WF_KERNEL gather(WF_BUFFER(x), WF_BUFFER(indices), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(const I_T, indices);
  WF_POINTER(X_T, y);
  WF_I64 size = p[2], count = p[3], inner = p[4];
  int width = (int)p[1], across = (int)p[5];
  WF_LOOP(t, (int)p[0]) {
    int column = t % across * width, stop = min(width, (int)inner - column), row = t / across;
    WF_I64 at = wrapped(indices[row % count], size);
    const WF_GLOBAL X_T* from = x + (row / count * size + at) * inner + column;
    WF_GLOBAL X_T* to = y + row * inner + column;
    for (int j = 0; j < stop; ++j) to[j] = from[j];
  }
}
WF_KERNEL scatter_add(WF_BUFFER(indices), WF_BUFFER(updates), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const I_T, indices);
  WF_POINTER(const X_T, updates);
  WF_POINTER(Y_T, y);
  WF_I64 size = p[2], count = p[3], inner = p[4];
  int width = (int)p[1], across = (int)p[5];
  WF_LOOP(t, (int)p[0]) {
    int column = t % across * width, stop = min(width, (int)inner - column);
    WF_I64 outer = t / across;
    for (WF_I64 k = 0; k < count; ++k) {
      const WF_GLOBAL X_T* from = updates + (outer * count + k) * inner + column;
      WF_GLOBAL Y_T* to = y + (outer * size + wrapped(indices[k], size)) * inner + column;
      for (int j = 0; j < stop; ++j) Y_STORE(to, j, (Y_C)Y_LOAD(to, j) + (Y_C)X_LOAD(from, j));
    }
  }
}
// p: items, rank, axis, size of x's axis, stride of x's axis; from 8 on in eights: sizes of the
// indices (that of the axis 1 where an item is a line), strides of x, strides of the indices; p[5]
// and p[6]: elements of a line and their stride.
WF_FUNCTION void places(int number, const WF_GLOBAL WF_I64* p, WF_I64* in_x, WF_I64* in_indices) {
  for (int d = (int)p[1] - 1; d >= 0; --d) {
    int size = (int)p[8 + d], at = number % size;
    number /= size;
    *in_x += at * p[16 + d];
    *in_indices += at * p[24 + d];
  }
}
WF_KERNEL gather_elements(WF_BUFFER(x), WF_BUFFER(indices), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(const I_T, indices);
  WF_POINTER(X_T, y);
  WF_LOOP(t, (int)p[0]) {
    WF_I64 in_x = 0, in_indices = 0;
    places(t, p, &in_x, &in_indices);
    for (int i = 0; i < (int)p[5]; ++i, in_indices += p[6])
      y[in_indices] = x[in_x + wrapped(indices[in_indices], p[3]) * p[4]];
  }
}
WF_KERNEL scatter_elements(WF_BUFFER(indices), WF_BUFFER(updates), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const I_T, indices);
  WF_POINTER(const X_T, updates);
  WF_POINTER(Y_T, y);
  WF_LOOP(t, (int)p[0]) {
    WF_I64 in_x = 0, at = 0;
    places(t, p, &in_x, &at);
    for (int i = 0; i < (int)p[5]; ++i, at += p[6]) {
      WF_I64 to = in_x + wrapped(indices[at], p[3]) * p[4];
#ifdef ADDED
      Y_STORE(y, to, (Y_C)Y_LOAD(y, to) + (Y_C)X_LOAD(updates, at));
#else
      y[to] = updates[at];
#endif
    }
  }
}
WF_KERNEL converted(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  WF_LOOP(i, (int)p[0]) Y_STORE(y, i, (Y_C)X_LOAD(x, i));
}
)";

std::string source_for(const KernelContext& context, DType x, DType y, DType indices,
                       bool added = false) {
  return library_source(
      context,
      words("X", x) + words("Y", y) + words("I", indices) + (added ? "#define ADDED\n" : ""),
      index_source, x == DType::f64 || y == DType::f64);
}

// A launch over rows of `inner` elements cut into pieces of at least `least`: what kernels of rows
// start their numbers with.
Launch row_launch(const Node& node, KernelContext& context, const std::string& text,
                  const std::string& name, int64_t rows, int64_t least, int64_t size, int64_t count,
                  int64_t inner) {
  const Capabilities& device = session_of(context).queue().capabilities();
  int64_t width = device.is_cpu ? std::max<int64_t>(least, 1) : 1;
  int64_t across = inner == 0 ? 0 : (inner + width - 1) / width;
  return make_launch(node, context, text, name, {rows * across, width, size, count, inner, across},
                     rows * across, std::max<int64_t>(2048 / width, 1));
}

// Sums of f16 and bf16 are made in f32: x is copied there first, and back at the end.
struct Widened {
  Launch to, from;
  bool used = false;
};
Widened widened(const Node& node, KernelContext& context, bool sums) {
  const Type& y = node.outputs[0];
  DType computed = computed_in(y.dtype);
  if (!sums || !is_floating(y.dtype) || computed == y.dtype) return {};
  context.scratch_bytes = byte_size(computed, y.elements());
  return {make_launch(node, context, source_for(context, y.dtype, computed, DType::i64),
                      "converted", {y.elements()}, y.elements(), 2048),
          make_launch(node, context, source_for(context, computed, y.dtype, DType::i64),
                      "converted", {y.elements()}, y.elements(), 2048),
          true};
}

Step scattered(const Node& node, const Launch& launch, const Widened& wide) {
  size_t bytes = node.outputs[0].bytes();
  return [=](const StepArgs& args) {
    void* to = wide.used ? args.scratch : args.out[0];
    if (wide.used)
      wide.to({args.in[0], to});
    else
      launch.queue->copy(to, args.in[0], bytes);
    launch({args.in[1], args.in[2], to});
    if (wide.used) wide.from({to, args.out[0]});
  };
}

// Numbers for the kernels of elements: an item is a line along the axis, or one element.
std::vector<int64_t> element_numbers(const Type& x, const Type& indices, int64_t axis, bool lines) {
  std::vector<int64_t> p(32), sizes = indices.shape.sizes();
  std::vector<int64_t> of_x = row_major_strides(x.shape.sizes());
  std::vector<int64_t> of_indices = row_major_strides(sizes);
  auto at = static_cast<size_t>(axis);
  int64_t length = lines ? sizes[at] : 1;
  if (lines) sizes[at] = std::min<int64_t>(sizes[at], 1);
  p[0] = 1;
  for (size_t d = 0; d < sizes.size(); ++d) {
    p[0] *= sizes[d];
    p[8 + d] = std::max<int64_t>(sizes[d], 1);
    p[16 + d] = d == at ? 0 : of_x[d];
    p[24 + d] = of_indices[d];
  }
  p[1] = static_cast<int64_t>(sizes.size());
  p[2] = axis;
  p[3] = x.shape.size(static_cast<int>(axis));
  p[4] = of_x[at];
  p[5] = length;
  p[6] = of_indices[at];
  return p;
}
}  // namespace

WAFER_KERNEL(gather) {
  const Type &x = node.inputs[0].type(), &indices = node.inputs[1].type();
  Lines lines(x, node.attr<AxisAttrs>().axis);
  int64_t count = indices.elements();
  Launch launch =
      row_launch(node, context, source_for(context, x.dtype, x.dtype, indices.dtype), "gather",
                 lines.outer * count, lines.inner, lines.size, count, lines.inner);
  return [launch](const StepArgs& args) { launch({args.in[0], args.in[1], args.out[0]}); };
}

WAFER_KERNEL(scatter_add) {
  const Type &x = node.inputs[0].type(), &indices = node.inputs[1].type();
  Lines lines(x, node.attr<AxisAttrs>().axis);
  Widened wide = widened(node, context, true);
  std::string text =
      source_for(context, x.dtype, wide.used ? computed_in(x.dtype) : x.dtype, indices.dtype);
  int64_t count = lines.size == 0 ? 0 : indices.elements();
  Launch launch = row_launch(node, context, text, "scatter_add", lines.outer, 16, lines.size, count,
                             lines.inner);
  return scattered(node, launch, wide);
}

WAFER_KERNEL(gather_elements) {
  const Type &x = node.inputs[0].type(), &indices = node.inputs[1].type();
  auto p = element_numbers(x, indices, node.attr<AxisAttrs>().axis, false);
  Launch launch = make_launch(node, context, source_for(context, x.dtype, x.dtype, indices.dtype),
                              "gather_elements", p, p[0], 512);
  return [launch](const StepArgs& args) { launch({args.in[0], args.in[1], args.out[0]}); };
}

WAFER_KERNEL(scatter_elements) {
  const auto& attrs = node.attr<ScatterElementsAttrs>();
  const Type &x = node.inputs[0].type(), &indices = node.inputs[1].type();
  Widened wide = widened(node, context, attrs.add);
  auto p = element_numbers(x, indices, attrs.axis, true);
  std::string text = source_for(context, x.dtype, wide.used ? computed_in(x.dtype) : x.dtype,
                                indices.dtype, attrs.add);
  Launch launch = make_launch(node, context, text, "scatter_elements", p, p[0],
                              std::max<int64_t>(512 / std::max<int64_t>(p[5], 1), 1));
  return scattered(node, launch, wide);
}

}  // namespace wafer::kernel
