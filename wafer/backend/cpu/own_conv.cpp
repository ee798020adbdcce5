#include <algorithm>
#include <cstring>

#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/gemm.h"
#include "wafer/backend/cpu/own_conv.h"
#include "wafer/backend/cpu/own_conv_operands.h"
#include "wafer/backend/cpu/own_epilogue.h"
#include "wafer/base/threads.h"

// Convolution of f32 (f16 and bf16 by way of it) as products of matrices: the windows of a strip of
// output positions become the rows of a matrix [positions, kernel position x channel] in scratch.
namespace wafer::cpu::own {

namespace {
constexpr int64_t strip = 96;  // output positions at a time

// Calls body(row, tap, taps, input position or -1 in the padding) for output positions [begin, end)
// of an image and all kernel positions: `taps` of them at once where their channels lie side by
// side in the image.
template <class Body>
void over_windows(const Geometry& g, int64_t begin, int64_t end, const Body& body) {
  bool joined = g.dilation[2] == 1 && g.groups == 1;
  int64_t width = g.kernel[2];
  for (int64_t position = begin; position < end; ++position) {
    int64_t o[3] = {position / (g.out[1] * g.out[2]), position / g.out[2] % g.out[1],
                    position % g.out[2]};
    int64_t row = position - begin, tap = 0, ic = o[2] * g.stride[2] - g.low[2];
    for (int64_t a = 0; a < g.kernel[0]; ++a) {
      int64_t ia = o[0] * g.stride[0] - g.low[0] + a * g.dilation[0];
      for (int64_t b = 0; b < g.kernel[1]; ++b, tap += width) {
        int64_t ib = o[1] * g.stride[1] - g.low[1] + b * g.dilation[1];
        if (ia < 0 || ia >= g.in[0] || ib < 0 || ib >= g.in[1]) {
          body(row, tap, width, int64_t{-1});
          continue;
        }
        int64_t line = (ia * g.in[1] + ib) * g.in[2];
        if (joined) {
          int64_t first = std::clamp<int64_t>(-ic, 0, width);
          int64_t last = std::clamp<int64_t>(g.in[2] - ic, first, width);
          if (first > 0) body(row, tap, first, int64_t{-1});
          if (last > first) body(row, tap + first, last - first, line + ic + first);
          if (last < width) body(row, tap + last, width - last, int64_t{-1});
          continue;
        }
        for (int64_t c = 0; c < width; ++c) {
          int64_t at = ic + c * g.dilation[2];
          body(row, tap + c, int64_t{1}, at >= 0 && at < g.in[2] ? line + at : int64_t{-1});
        }
      }
    }
  }
}

// Rows of windows of one group of a channels-last image.
void gather_windows(const Geometry& g, const float* image, int64_t begin, int64_t end,
                    float* rows) {
  int64_t channels = g.in_group(), depth = g.depth();
  over_windows(g, begin, end, [&](int64_t row, int64_t tap, int64_t taps, int64_t position) {
    float* to = rows + row * depth + tap * channels;
    int64_t count = taps * channels;
    if (position < 0) {
      for (int64_t i = 0; i < count; ++i) to[i] = 0;
    } else if (count >= 64) {
      std::memcpy(to, image + position * g.in_channels, static_cast<size_t>(count) * sizeof(float));
    } else {
      const float* from = image + position * g.in_channels;
      for (int64_t i = 0; i < count; ++i) to[i] = from[i];
    }
  });
}

void scatter_windows(const Geometry& g, const float* rows, int64_t begin, int64_t end,
                     float* image) {
  int64_t channels = g.in_group(), depth = g.depth();
  over_windows(g, begin, end, [&](int64_t row, int64_t tap, int64_t taps, int64_t position) {
    if (position < 0) return;
    const float* from = rows + row * depth + tap * channels;
    float* to = image + position * g.in_channels;
    for (int64_t i = 0; i < taps * channels; ++i) to[i] += from[i];
  });
}

struct Workspace {
  int parts = thread_count();
  size_t windows_at = 0, gemm_at = 0, partial_at = 0;
  int64_t window_floats = 0, partial_floats = 0;

  Workspace(const Geometry& g, bool with_partials, size_t& scratch) {
    auto reserve = [&](int64_t floats) {
      size_t at = scratch;
      scratch += static_cast<size_t>(floats) * sizeof(float) * static_cast<size_t>(parts);
      return at;
    };
    window_floats = (strip * g.depth() + 15) / 16 * 16;
    windows_at = reserve(window_floats);
    gemm_at = reserve(gemm_workspace);
    partial_floats = (g.depth() * g.out_channels + 15) / 16 * 16;
    if (with_partials) partial_at = reserve(partial_floats);
  }
  float* windows(std::byte* scratch, int64_t part) const {
    return Operand::at(scratch, windows_at) + part * window_floats;
  }
  float* gemm(std::byte* scratch, int64_t part) const {
    return Operand::at(scratch, gemm_at) + part * gemm_workspace;
  }
  float* partial(std::byte* scratch, int64_t part) const {
    return Operand::at(scratch, partial_at) + part * partial_floats;
  }
};

bool is_blocked(const ConvProblem& p) {
  DType dtype = p.x.dtype;
  return (dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16) &&
         p.x.elements() > 0 && p.weight.elements() > 0 && p.y.elements() > 0;
}
}  // namespace

Step make_conv(const ConvProblem& p, const Epilogue& epilogue, KernelContext& context) {
  if (!is_blocked(p)) return make_conv_plain(p, epilogue);
  if (is_depthwise(p)) return make_depthwise(p, epilogue, context);
  Geometry g(p);
  // Known weights are then packed once, not for each strip.
  bool known = p.weight_values != nullptr && is_f32_channels_last(p);
  if (known && g.pointwise() && g.groups == 1) return make_pointwise(p, epilogue, context);
  size_t scratch = 0;
  Source x(p.x, channels_last(p.x), scratch), weight(p.weight, by_tap(p.weight), scratch);
  Sink y(p.y, channels_last(p.y), scratch);
  Workspace work(g, false, scratch);
  context.scratch_bytes = scratch;
  context.kernel = str("own:", name(isa()));
  return [=, multiply = gemm_block_kernel()](const StepArgs& args) {
    const float* input = x.get(args.in[0], args.scratch);
    const float* w = weight.get(args.in[1], args.scratch);
    float* output = y.target(args.out[0], args.scratch);
    int64_t positions = g.out_positions(), strips = (positions + strip - 1) / strip;
    over_parts(work.parts, g.batch * strips, [&](int64_t part, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t image = i / strips, first = i % strips * strip;
        int64_t last = std::min(first + strip, positions);
        for (int64_t group = 0; group < g.groups; ++group) {
          const float* source =
              input + image * g.in_positions() * g.in_channels + group * g.in_group();
          GemmArgs product{.m = last - first, .n = g.out_group(), .k = g.depth()};
          if (g.pointwise()) {
            product.a = source + first * g.in_channels;
            product.a_row = g.in_channels;
          } else {
            float* rows = work.windows(args.scratch, part);
            gather_windows(g, source, first, last, rows);
            product.a = rows;
            product.a_row = g.depth();
          }
          product.a_column = 1;
          product.b = w + group * g.out_group();
          product.b_row = g.out_channels;
          product.b_column = 1;
          product.c = output + (image * positions + first) * g.out_channels + group * g.out_group();
          product.c_row = g.out_channels;
          multiply(product, work.gemm(args.scratch, part));
        }
      }
    });
    y.finish(args.out[0], args.scratch);
    apply_epilogue(epilogue, p.y, 1, args);
  };
}

Step make_conv_input_gradient(const ConvProblem& p, KernelContext& context) {
  if (!is_blocked(p)) return make_conv_input_gradient_plain(p);
  if (is_depthwise(p)) return make_depthwise_input_gradient(p, context);
  Geometry g(p);
  size_t scratch = 0;
  Source y(p.y, channels_last(p.y), scratch), weight(p.weight, by_tap(p.weight), scratch);
  Sink x(p.x, channels_last(p.x), scratch);
  Workspace work(g, false, scratch);
  context.scratch_bytes = scratch;
  context.kernel = str("own:", name(isa()));
  return [=, multiply = gemm_block_kernel()](const StepArgs& args) {
    const float* gradient = y.get(args.in[0], args.scratch);
    const float* w = weight.get(args.in[1], args.scratch);
    float* result = x.target(args.out[0], args.scratch);
    int64_t positions = g.out_positions(), image_size = g.in_positions() * g.in_channels;
    // Windows overlap within an image and its group only: each is one part's own.
    over_parts(work.parts, g.batch * g.groups, [&](int64_t part, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t image = i / g.groups, group = i % g.groups;
        float* target = result + image * image_size + group * g.in_group();
        for (int64_t q = 0; q < g.in_positions(); ++q) {
          std::fill_n(target + q * g.in_channels, g.in_group(), 0.0f);
        }
        for (int64_t first = 0; first < positions; first += strip) {
          int64_t last = std::min(first + strip, positions);
          float* rows = work.windows(args.scratch, part);
          GemmArgs product{.m = last - first, .n = g.depth(), .k = g.out_group()};
          product.a =
              gradient + (image * positions + first) * g.out_channels + group * g.out_group();
          product.a_row = g.out_channels;
          product.a_column = 1;
          product.b = w + group * g.out_group();
          product.b_row = 1;
          product.b_column = g.out_channels;
          product.c = rows;
          product.c_row = g.depth();
          multiply(product, work.gemm(args.scratch, part));
          scatter_windows(g, rows, first, last, target);
        }
      }
    });
    x.finish(args.out[0], args.scratch);
  };
}

Step make_conv_weight_gradient(const ConvProblem& p, KernelContext& context) {
  if (!is_blocked(p)) return make_conv_weight_gradient_plain(p);
  if (is_depthwise(p)) return make_depthwise_weight_gradient(p, context);
  Geometry g(p);
  size_t scratch = 0;
  Source x(p.x, channels_last(p.x), scratch), y(p.y, channels_last(p.y), scratch);
  Sink weight(p.weight, by_tap(p.weight), scratch);
  Workspace work(g, true, scratch);
  context.scratch_bytes = scratch;
  context.kernel = str("own:", name(isa()));
  return [=, multiply = gemm_block_kernel()](const StepArgs& args) {
    const float* input = x.get(args.in[0], args.scratch);
    const float* gradient = y.get(args.in[1], args.scratch);
    float* result = weight.target(args.out[0], args.scratch);
    int64_t positions = g.out_positions(), strips = (positions + strip - 1) / strip;
    // Each part sums its strips into a weight of its own; these are added in order.
    over_parts(work.parts, g.batch * strips, [&](int64_t part, int64_t begin, int64_t end) {
      float* sums = work.partial(args.scratch, part);
      if (begin == end) std::fill_n(sums, g.depth() * g.out_channels, 0.0f);
      for (int64_t i = begin; i < end; ++i) {
        int64_t image = i / strips, first = i % strips * strip;
        int64_t last = std::min(first + strip, positions);
        for (int64_t group = 0; group < g.groups; ++group) {
          float* rows = work.windows(args.scratch, part);
          gather_windows(g, input + image * g.in_positions() * g.in_channels + group * g.in_group(),
                         first, last, rows);
          GemmArgs product{.m = g.depth(), .n = g.out_group(), .k = last - first};
          product.a = rows;
          product.a_row = 1;
          product.a_column = g.depth();
          product.b =
              gradient + (image * positions + first) * g.out_channels + group * g.out_group();
          product.b_row = g.out_channels;
          product.b_column = 1;
          product.c = sums + group * g.out_group();
          product.c_row = g.out_channels;
          product.accumulate = i > begin;
          multiply(product, work.gemm(args.scratch, part));
        }
      }
    });
    parallel_for(g.depth() * g.out_channels, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        float sum = work.partial(args.scratch, 0)[i];
        for (int64_t part = 1; part < work.parts; ++part) {
          sum += work.partial(args.scratch, part)[i];
        }
        result[i] = sum;
      }
    });
    weight.finish(args.out[0], args.scratch);
  };
}

}  // namespace wafer::cpu::own
