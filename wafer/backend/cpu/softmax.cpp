#include <algorithm>
#include <cmath>

#include "wafer/backend/cpu/grain.h"
#include "wafer/backend/cpu/rows.h"
#include "wafer/backend/cpu/simd/rows.h"
#include "wafer/base/threads.h"
#include "wafer/op/loss.h"
#include "wafer/op/op.h"
#include "wafer/runtime/kernel.h"

// Softmax and cross-entropy over the last axis.
namespace wafer::cpu {

namespace {
// Calls work(first row, rows, buffer) on groups of rows small enough for the cache.
template <class F>
void for_rows(int64_t rows, int64_t n, size_t buffer_floats, F&& work) {
  int64_t together = rows_together(n);
  int64_t groups = (rows + together - 1) / together;
  int64_t grain = std::max<int64_t>(1, grain_elements / (together * n));
  parallel_for(groups, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> buffer(buffer_floats);
    for (int64_t group = begin; group < end; ++group) {
      int64_t first = group * together;
      work(first, std::min(together, rows - first), buffer.data());
    }
  });
}

Step softmax_step(const Node& node, KernelContext& context, bool logarithm) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  context.kernel = str("rows:", name(isa()));
  int64_t n = node.outputs[0].shape.size(-1), rows = node.outputs[0].elements() / n;
  Floats floats(node.outputs[0].dtype);
  auto* softmax = softmax_rows_kernel();
  return [=](const StepArgs& args) {
    size_t buffer = floats.buffer(rows_together(n) * n);
    for_rows(rows, n, buffer, [&](int64_t first, int64_t count, float* memory) {
      const float* x = floats.read(args.in[0], first * n, count * n, memory);
      float* y = floats.place(args.out[0], first * n, memory);
      softmax(x, y, count, n, logarithm);
      floats.write(args.out[0], first * n, count * n, y);
    });
  };
}

struct Targets {
  DType dtype;
  int64_t classes, ignored;

  // The class of a position, or -1 where it is ignored.
  int64_t at(const void* targets, int64_t position) const {
    int64_t target = dtype == DType::i32 ? static_cast<const int32_t*>(targets)[position]
                                         : static_cast<const int64_t*>(targets)[position];
    if (target == ignored) return -1;
    WAFER_REQUIRE(target >= 0 && target < classes, "cross_entropy", "target ", target,
                  " at position ", position, " is no class; expected 0 to ", classes - 1);
    return target;
  }
  int64_t count_valid(const void* targets, int64_t positions) const {
    int64_t count = 0;
    for (int64_t i = 0; i < positions; ++i) count += at(targets, i) >= 0;
    return count;
  }
};
}  // namespace

WAFER_KERNEL(softmax) {
  return softmax_step(node, context, false);
}
WAFER_KERNEL(log_softmax) {
  return softmax_step(node, context, true);
}

WAFER_KERNEL(cross_entropy) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  context.kernel = str("rows:", name(isa()));
  const auto& attrs = node.attr<CrossEntropyAttrs>();
  int64_t rows = node.inputs[0].size(0), n = node.inputs[0].size(1);
  Targets targets{node.inputs[1].dtype(), n, attrs.ignore_index};
  std::string reduction = attrs.reduction;
  Floats floats(node.inputs[0].dtype());
  auto* logsumexp = logsumexp_rows_kernel();
  context.scratch_bytes = static_cast<size_t>(2 * rows) * sizeof(float);
  return [=](const StepArgs& args) {
    auto* normaliser = reinterpret_cast<float*>(args.scratch);
    float* losses = normaliser + rows;
    size_t buffer = floats.buffer(rows_together(n) * n);
    for_rows(rows, n, buffer, [&](int64_t first, int64_t count, float* memory) {
      const float* x = floats.read(args.in[0], first * n, count * n, memory);
      logsumexp(x, normaliser + first, count, n);
      for (int64_t r = 0; r < count; ++r) {
        int64_t target = targets.at(args.in[1], first + r);
        losses[first + r] = target < 0 ? 0 : normaliser[first + r] - x[r * n + target];
      }
    });
    if (args.out[1]) {
      for (int64_t r = 0; r < rows; ++r) floats.set(args.out[1], r, normaliser[r]);
    }
    if (!args.out[0]) return;
    if (reduction == "none") {
      for (int64_t r = 0; r < rows; ++r) floats.set(args.out[0], r, losses[r]);
      return;
    }
    double total = 0;
    for (int64_t r = 0; r < rows; ++r) total += static_cast<double>(losses[r]);
    if (reduction == "mean") total /= static_cast<double>(targets.count_valid(args.in[1], rows));
    floats.set(args.out[0], 0, static_cast<float>(total));
  };
}

WAFER_KERNEL(cross_entropy_gradient) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  context.kernel = str("rows:", name(isa()));
  const auto& attrs = node.attr<CrossEntropyAttrs>();
  int64_t rows = node.inputs[1].size(0), n = node.inputs[1].size(1);
  Targets targets{node.inputs[2].dtype(), n, attrs.ignore_index};
  bool mean = attrs.reduction == "mean", each = attrs.reduction == "none";
  Floats floats(node.inputs[1].dtype());
  auto* exponential = exp_rows_kernel();
  context.scratch_bytes = static_cast<size_t>(2 * rows) * sizeof(float);
  return [=](const StepArgs& args) {
    auto* shift = reinterpret_cast<float*>(args.scratch);
    float* scale = shift + rows;
    float divisor = mean ? static_cast<float>(targets.count_valid(args.in[2], rows)) : 1.0f;
    size_t buffer = floats.buffer(rows_together(n) * n);
    for_rows(rows, n, buffer, [&](int64_t first, int64_t count, float* memory) {
      for (int64_t r = first; r < first + count; ++r) {
        shift[r] = floats.get(args.in[3], r);
        bool valid = targets.at(args.in[2], r) >= 0;
        scale[r] = valid ? floats.get(args.in[0], each ? r : 0) / divisor : 0;
      }
      const float* x = floats.read(args.in[1], first * n, count * n, memory);
      float* y = floats.place(args.out[0], first * n, memory);
      exponential(x, shift + first, scale + first, y, count, n);
      for (int64_t r = 0; r < count; ++r) {
        int64_t target = targets.at(args.in[2], first + r);
        if (target >= 0)
          y[r * n + target] -= scale[first + r];
        else
          std::fill_n(y + r * n, n, 0.0f);
      }
      floats.write(args.out[0], first * n, count * n, y);
    });
  };
}

}  // namespace wafer::cpu
