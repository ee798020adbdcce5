#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/own_conv.h"
#include "wafer/backend/cpu/own_conv_operands.h"
#include "wafer/backend/cpu/own_epilogue.h"
#include "wafer/backend/cpu/simd/conv_direct.h"
#include "wafer/ir/storage.h"

namespace wafer::cpu::own {

namespace {
DepthwiseGeometry depthwise(const Geometry& g) {
  DepthwiseGeometry d;
  d.channels = g.out_channels;
  for (int i = 0; i < 3; ++i) {
    d.in[i] = g.in[i];
    d.out[i] = g.out[i];
    d.kernel[i] = g.kernel[i];
    d.stride[i] = g.stride[i];
    d.low[i] = g.low[i];
    d.dilation[i] = g.dilation[i];
  }
  return d;
}

// Rows that are worth a thread of their own.
int64_t grain_of(const Geometry& g, int64_t width) {
  return (1 << 14) / std::max<int64_t>(width * g.out_channels * g.taps(), 1) + 1;
}
}  // namespace

bool is_depthwise(const ConvProblem& p) {
  return p.groups > 1 && p.x.shape.size(1) == p.groups && p.y.shape.size(1) == p.groups;
}

bool is_depthwise_faster(const ConvProblem& p) {
  // With AVX-512 oneDNN's was not compared.
  if (isa() != Isa::avx2 || !is_depthwise(p) || !is_f32_channels_last(p)) return false;
  // Large images come from memory, where that is as fast. A thread takes whole rows, a vector whole
  // channels, and windows of many taps are summed one position at a time.
  constexpr int64_t most_elements = 1 << 18, most_taps = 64, least_channels = 8;
  Geometry g(p);
  return g.in_positions() * g.in_channels <= most_elements && g.taps() <= most_taps &&
         g.in_channels >= least_channels && g.batch * g.out[0] * g.out[1] >= 2 * thread_count();
}

Step make_depthwise(const ConvProblem& p, const Epilogue& epilogue, KernelContext& context) {
  Geometry g(p);
  size_t scratch = 0;
  Source x(p.x, channels_last(p.x), scratch);
  Sink y(p.y, channels_last(p.y), scratch);
  size_t weight_at = scratch, weight_bytes = 0;
  Source weight(p.weight, by_tap(p.weight), weight_bytes);
  // Weights that are known are laid in order once.
  std::shared_ptr<Storage> ordered;
  const float* known = nullptr;
  if (p.weight_values != nullptr) {
    ordered = allocate_host(weight_bytes);
    known = weight.get(p.weight_values, static_cast<std::byte*>(ordered->data()));
    context.constant_bytes = weight_bytes;
  }
  context.scratch_bytes = scratch + (known ? 0 : weight_bytes);
  context.kernel = str("own depthwise:", name(isa()));
  bool finishes = is_f32_channels_last(p);
  return
      [=, kept = ordered, d = depthwise(g), rows = depthwise_rows_kernel()](const StepArgs& args) {
        const float* input = x.get(args.in[0], args.scratch);
        const float* w = known ? known : weight.get(args.in[1], args.scratch + weight_at);
        float* output = y.target(args.out[0], args.scratch);
        Finish finish = finishes ? finish_of(epilogue, args) : Finish{};
        parallel_for(
            g.batch * g.out[0] * g.out[1], grain_of(g, g.out[2]),
            [&](int64_t begin, int64_t end) { rows(d, input, w, output, finish, begin, end); });
        y.finish(args.out[0], args.scratch);
        if (!finishes) apply_epilogue(epilogue, p.y, 1, args);
      };
}

Step make_depthwise_input_gradient(const ConvProblem& p, KernelContext& context) {
  Geometry g(p);
  size_t scratch = 0;
  Source y(p.y, channels_last(p.y), scratch), weight(p.weight, by_tap(p.weight), scratch);
  Sink x(p.x, channels_last(p.x), scratch);
  context.scratch_bytes = scratch;
  context.kernel = str("own depthwise:", name(isa()));
  return
      [=, d = depthwise(g), rows = depthwise_input_gradient_rows_kernel()](const StepArgs& args) {
        const float* gradient = y.get(args.in[0], args.scratch);
        const float* w = weight.get(args.in[1], args.scratch);
        float* result = x.target(args.out[0], args.scratch);
        parallel_for(g.batch * g.in[0] * g.in[1], grain_of(g, g.in[2]),
                     [&](int64_t begin, int64_t end) { rows(d, gradient, w, result, begin, end); });
        x.finish(args.out[0], args.scratch);
      };
}

Step make_depthwise_weight_gradient(const ConvProblem& p, KernelContext& context) {
  Geometry g(p);
  size_t scratch = 0;
  Source x(p.x, channels_last(p.x), scratch), y(p.y, channels_last(p.y), scratch);
  Sink weight(p.weight, by_tap(p.weight), scratch);
  int parts = thread_count();
  int64_t elements = g.taps() * g.out_channels, padded = (elements + 15) / 16 * 16;
  size_t partial_at = scratch;
  scratch += static_cast<size_t>(padded * parts) * sizeof(float);
  context.scratch_bytes = scratch;
  context.kernel = str("own depthwise:", name(isa()));
  return [=, d = depthwise(g),
          rows = depthwise_weight_gradient_rows_kernel()](const StepArgs& args) {
    const float* input = x.get(args.in[0], args.scratch);
    const float* gradient = y.get(args.in[1], args.scratch);
    float* result = weight.target(args.out[0], args.scratch);
    float* partial = Operand::at(args.scratch, partial_at);
    over_parts(parts, g.batch * g.out[0] * g.out[1], [&](int64_t part, int64_t begin, int64_t end) {
      std::fill_n(partial + part * padded, elements, 0.0f);
      rows(d, input, gradient, partial + part * padded, begin, end);
    });
    // Added in the parts' order, whoever made them.
    for (int64_t i = 0; i < elements; ++i) {
      float sum = partial[i];
      for (int64_t part = 1; part < parts; ++part) sum += partial[part * padded + i];
      result[i] = sum;
    }
    weight.finish(args.out[0], args.scratch);
  };
}

}  // namespace wafer::cpu::own
