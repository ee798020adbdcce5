#include "wafer/kernel/device/lines.h"
#include "wafer/kernel/device/session.h"
#include "wafer/op/index.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

// Ops along an axis whose elements depend on each other's order: a work item has a line.
namespace wafer::kernel {

namespace {
// p: lines, size, inner, values wanted, indices wanted.
constexpr std::string_view order_source = R"(
WF_FUNCTION int precedes(X_C a, X_C b) { return b != b ? a == a : a < b; }  // NaN is greatest
WF_KERNEL extremum(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(WF_I64, y);
  int size = (int)p[1], inner = (int)p[2];
  WF_LOOP(t, (int)p[0]) {
    const WF_GLOBAL X_T* line = x + (WF_I64)(t / inner) * size * inner + t % inner;
    X_C best = X_LOAD(line, 0);
    int index = 0;
    for (int i = 1; i < size && best == best; ++i) {
      X_C value = X_LOAD(line, (WF_I64)i * inner);
      if (value == value && !(BETTER(value, best))) continue;
      best = value;
      index = i;
    }
    y[t] = index;
  }
}
WF_KERNEL sums(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(X_T, y);
  int size = (int)p[1], inner = (int)p[2];
  WF_LOOP(t, (int)p[0]) {
    WF_I64 at = (WF_I64)(t / inner) * size * inner + t % inner;
    X_C total = 0;
    for (int i = 0; i < size; ++i, at += inner) {
      total += X_LOAD(x, at);
      X_STORE(y, at, total);
    }
  }
}
// Merges runs of indices of doubling length, between the halves of this line's scratch.
WF_KERNEL sorted(WF_BUFFER(x), WF_BUFFER(y), WF_BUFFER(indices), WF_BUFFER(scratch), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(X_T, y);
  WF_POINTER(WF_I64, indices);
  WF_POINTER(int, scratch);
  int size = (int)p[1], inner = (int)p[2];
  WF_LOOP(t, (int)p[0]) {
    WF_I64 first = (WF_I64)(t / inner) * size * inner + t % inner;
    const WF_GLOBAL X_T* line = x + first;
    WF_GLOBAL int* from = scratch + (WF_I64)t * 2 * size;
    WF_GLOBAL int* to = from + size;
    for (int i = 0; i < size; ++i) from[i] = i;
    for (int width = 1; width < size; width *= 2) {
      for (int start = 0; start < size; start += 2 * width) {
        int a = start, middle = min(start + width, size);
        int b = middle, end = min(middle + width, size);
        for (int k = start; k < end; ++k) {
          int second = a >= middle;
          if (!second && b < end) {
            X_C left = X_LOAD(line, (WF_I64)from[a] * inner);
            X_C right = X_LOAD(line, (WF_I64)from[b] * inner);
            second = BETTER(right, left);
          }
          to[k] = second ? from[b++] : from[a++];
        }
      }
      WF_GLOBAL int* swapped = from;
      from = to;
      to = swapped;
    }
    for (int i = 0; i < size; ++i) {
      if (p[3]) y[first + (WF_I64)i * inner] = line[(WF_I64)from[i] * inner];
      if (p[4]) indices[first + (WF_I64)i * inner] = from[i];
    }
  }
}
)";

Launch line_launch(const Node& node, KernelContext& context, const std::string& name,
                   const std::string& better, const Lines& lines, bool values = true,
                   bool indices = true) {
  DType dtype = node.inputs[0].dtype();
  std::string text =
      library_source(context, words("X", dtype) + str("#define BETTER(a, b) ", better, "\n"),
                     order_source, dtype == DType::f64);
  return make_launch(node, context, text, name,
                     {lines.count(), lines.size, lines.inner, values, indices}, lines.count(),
                     std::max<int64_t>(2048 / std::max<int64_t>(lines.size, 1), 1));
}

Step two_buffers(const Launch& launch) {
  return [launch](const StepArgs& args) { launch({args.in[0], args.out[0]}); };
}
}  // namespace

WAFER_KERNEL(argmax) {
  Lines lines(node.inputs[0].type(), node.attr<AxisAttrs>().axis);
  return two_buffers(line_launch(node, context, "extremum", "(a) > (b)", lines));
}
WAFER_KERNEL(argmin) {
  Lines lines(node.inputs[0].type(), node.attr<AxisAttrs>().axis);
  return two_buffers(line_launch(node, context, "extremum", "(a) < (b)", lines));
}
WAFER_KERNEL(cumsum) {
  Lines lines(node.inputs[0].type(), node.attr<AxisAttrs>().axis);
  return two_buffers(line_launch(node, context, "sums", "(a) < (b)", lines));
}
WAFER_KERNEL(sort) {
  const auto& attrs = node.attr<SortAttrs>();
  Lines lines(node.inputs[0].type(), attrs.axis);
  Launch launch =
      line_launch(node, context, "sorted", attrs.descending ? "precedes(b, a)" : "precedes(a, b)",
                  lines, context.output_used[0], context.output_used[1]);
  context.scratch_bytes = static_cast<size_t>(2 * lines.count() * lines.size) * sizeof(int32_t);
  return [launch](const StepArgs& args) {
    launch({args.in[0], args.out[0], args.out[1], args.scratch});
  };
}

}  // namespace wafer::kernel
