#include "wafer/op/norm.h"

#include <algorithm>
#include <cstring>

#include "wafer/backend/cpu/grain.h"
#include "wafer/backend/cpu/rows.h"
#include "wafer/backend/cpu/simd/rows.h"
#include "wafer/base/threads.h"
#include "wafer/op/op.h"
#include "wafer/runtime/kernel.h"

// Layer and root-mean-square normalisation: a row at a time, so that it is read from memory once.
namespace wafer::cpu {

namespace {
struct Rows {
  int64_t rows = 1, n = 1;
  Rows(const Type& x, const Node& node) {
    auto last = static_cast<int>(node.attr<LayerNormAttrs>().dimensions);
    for (int d = 0; d < x.shape.rank(); ++d)
      (d < x.shape.rank() - last ? rows : n) *= x.shape.size(d);
  }
};

// A weight or bias of n elements as f32: in memory or in `buffer`; null where there is none.
const float* vector_of(const Floats& floats, const StepArgs& args, size_t input, bool present,
                       int64_t n, std::vector<float>& buffer) {
  if (!present) return nullptr;
  buffer.resize(floats.buffer(n));
  return floats.read(args.in[input], 0, n, buffer.data());
}

Step normalise(const Node& node, KernelContext& context, bool rms) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  context.kernel = str("rows:", name(isa()));
  Rows space(node.outputs[0], node);
  auto epsilon = static_cast<float>(node.attr<LayerNormAttrs>().epsilon);
  bool weighted = node.inputs.size() > 1, biased = node.inputs.size() > 2;
  Floats floats(node.outputs[0].dtype), statistics(node.outputs[1].dtype);
  auto* row = normalise_row_kernel();
  return [=](const StepArgs& args) {
    int64_t n = space.n;
    std::vector<float> weight_memory, bias_memory;
    const float* weight = vector_of(statistics, args, 1, weighted, n, weight_memory);
    const float* bias = vector_of(statistics, args, 2, biased, n, bias_memory);
    void* means = rms ? nullptr : args.out[1];
    void* inverses = rms ? args.out[1] : args.out[2];
    parallel_for(
        space.rows, std::max<int64_t>(1, grain_elements / n), [&](int64_t begin, int64_t end) {
          std::vector<float> buffer(floats.direct() && args.out[0] ? 0 : static_cast<size_t>(n));
          for (int64_t r = begin; r < end; ++r) {
            const float* x = floats.read(args.in[0], r * n, n, buffer.data());
            float* y =
                args.out[0] ? floats.place(args.out[0], r * n, buffer.data()) : buffer.data();
            RowStatistics s = row(x, weight, bias, y, n, epsilon, rms);
            if (args.out[0]) floats.write(args.out[0], r * n, n, y);
            if (means) statistics.set(means, r, s.mean);
            if (inverses) statistics.set(inverses, r, s.inverse);
          }
        });
  };
}

// Inputs: g, x, mean (not of rms), inverse, weight if any.
Step normalise_gradient(const Node& node, KernelContext& context, bool rms) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  context.kernel = str("rows:", name(isa()));
  Rows space(node.outputs[0], node);
  size_t inverse_at = rms ? 2 : 3, weight_at = inverse_at + 1;
  bool weighted = node.inputs.size() > weight_at, biased = weighted && !rms;
  Floats floats(node.outputs[0].dtype), statistics(node.inputs[inverse_at].dtype());
  auto* row = normalise_row_gradient_kernel();
  // Each part of the rows sums gradients of its own; how many there are depends on the shape alone.
  int64_t parts = std::clamp<int64_t>(space.rows * space.n / grain_elements, 1,
                                      std::min(most_parts, space.rows));
  if (weighted) context.scratch_bytes = static_cast<size_t>(2 * parts * space.n) * sizeof(float);
  return [=](const StepArgs& args) {
    int64_t n = space.n;
    std::vector<float> weight_memory;
    const float* weight = vector_of(statistics, args, weight_at, weighted, n, weight_memory);
    auto* sums = reinterpret_cast<float*>(args.scratch);
    parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> buffer(static_cast<size_t>(3 * n));
      for (int64_t part = begin; part < end; ++part) {
        float* by_weight = weighted ? sums + 2 * part * n : nullptr;
        float* by_bias = biased ? by_weight + n : nullptr;
        if (weighted) std::memset(by_weight, 0, static_cast<size_t>(2 * n) * sizeof(float));
        for (int64_t r = space.rows * part / parts; r < space.rows * (part + 1) / parts; ++r) {
          const float* g = floats.read(args.in[0], r * n, n, buffer.data());
          const float* x = floats.read(args.in[1], r * n, n, buffer.data() + n);
          float* to = args.out[0] ? floats.place(args.out[0], r * n, buffer.data() + 2 * n)
                                  : buffer.data() + 2 * n;
          RowStatistics s{rms ? 0 : statistics.get(args.in[2], r),
                          statistics.get(args.in[inverse_at], r)};
          row(g, x, weight, s, to, by_weight, by_bias, n, rms);
          if (args.out[0]) floats.write(args.out[0], r * n, n, to);
        }
      }
    });
    if (!weighted) return;
    for (int64_t which = 0; which < (biased ? 2 : 1); ++which) {
      void* out = args.out[1 + which];
      if (!out) continue;
      for (int64_t i = 0; i < n; ++i) {
        double total = 0;
        for (int64_t part = 0; part < parts; ++part)
          total += static_cast<double>(sums[(2 * part + which) * n + i]);
        statistics.set(out, i, static_cast<float>(total));
      }
    }
  };
}
}  // namespace

WAFER_KERNEL(layer_norm) {
  return normalise(node, context, false);
}
WAFER_KERNEL(layer_norm_gradient) {
  return normalise_gradient(node, context, false);
}
WAFER_KERNEL(rms_norm) {
  return normalise(node, context, true);
}
WAFER_KERNEL(rms_norm_gradient) {
  return normalise_gradient(node, context, true);
}

}  // namespace wafer::cpu
