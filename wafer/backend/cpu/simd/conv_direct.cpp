#include "wafer/backend/cpu/simd/conv_direct.h"

#include "wafer/backend/cpu/simd/vector.h"

namespace wafer::cpu::WAFER_ISA {

namespace {
struct Row {
  int64_t batch, first, second;
};
Row row_of(int64_t row, const int64_t* size) {
  return {row / (size[0] * size[1]), row / size[1] % size[0], row % size[1]};
}

// The input position that kernel position k of output o reads along an axis, or -1.
int64_t input_at(const DepthwiseGeometry& g, int axis, int64_t o, int64_t k) {
  int64_t i = o * g.stride[axis] - g.low[axis] + k * g.dilation[axis];
  return i >= 0 && i < g.in[axis] ? i : -1;
}
// The output position whose kernel position k reads input i, or -1.
int64_t output_at(const DepthwiseGeometry& g, int axis, int64_t i, int64_t k) {
  int64_t distance = i + g.low[axis] - k * g.dilation[axis];
  if (distance < 0 || distance % g.stride[axis] != 0) return -1;
  int64_t o = distance / g.stride[axis];
  return o < g.out[axis] ? o : -1;
}

// For every kernel position that `at` places inside: adds source line times weight to the sums of
// all positions of one target row. `at(axis, position, k)` is the source position or -1.
template <class At>
[[gnu::always_inline]] inline void accumulate_row(const DepthwiseGeometry& g,
                                                  const int64_t* source_size, int64_t target_width,
                                                  Row row, const float* source, const float* weight,
                                                  float* target, At at) {
  int64_t channels = g.channels;
  for (int64_t w = 0; w < target_width; ++w) {
    float* to = target + w * channels;
    int64_t c = 0;
    auto sum_at = [&](auto zero, auto read) {
      auto sum = zero;
      for (int64_t a = 0; a < g.kernel[0]; ++a) {
        int64_t sa = at(0, row.first, a);
        if (sa < 0) continue;
        for (int64_t b = 0; b < g.kernel[1]; ++b) {
          int64_t sb = at(1, row.second, b);
          if (sb < 0) continue;
          int64_t line = ((row.batch * source_size[0] + sa) * source_size[1] + sb) * source_size[2];
          for (int64_t k = 0; k < g.kernel[2]; ++k) {
            int64_t sw = at(2, w, k);
            if (sw < 0) continue;
            int64_t tap = (a * g.kernel[1] + b) * g.kernel[2] + k;
            sum += read(source + (line + sw) * channels + c) * read(weight + tap * channels + c);
          }
        }
      }
      return sum;
    };
    for (; c + lanes <= channels; c += lanes) {
      store(to + c, sum_at(VFloat{}, [](const float* from) { return load<VFloat>(from); }));
    }
    for (; c < channels; ++c) to[c] = sum_at(0.0f, [](const float* from) { return *from; });
  }
}
}  // namespace

void depthwise_rows(const DepthwiseGeometry& g, const float* x, const float* weight, float* y,
                    int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    accumulate_row(g, g.in, g.out[2], row_of(row, g.out), x, weight,
                   y + row * g.out[2] * g.channels,
                   [&](int axis, int64_t o, int64_t k) { return input_at(g, axis, o, k); });
  }
}

void depthwise_input_gradient_rows(const DepthwiseGeometry& g, const float* y, const float* weight,
                                   float* x, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    accumulate_row(g, g.out, g.in[2], row_of(row, g.in), y, weight, x + row * g.in[2] * g.channels,
                   [&](int axis, int64_t i, int64_t k) { return output_at(g, axis, i, k); });
  }
}

void depthwise_weight_gradient_rows(const DepthwiseGeometry& g, const float* x, const float* y,
                                    float* weight, int64_t begin, int64_t end) {
  int64_t channels = g.channels;
  for (int64_t row = begin; row < end; ++row) {
    Row at = row_of(row, g.out);
    for (int64_t a = 0; a < g.kernel[0]; ++a) {
      int64_t ia = input_at(g, 0, at.first, a);
      if (ia < 0) continue;
      for (int64_t b = 0; b < g.kernel[1]; ++b) {
        int64_t ib = input_at(g, 1, at.second, b);
        if (ib < 0) continue;
        const float* line = x + ((at.batch * g.in[0] + ia) * g.in[1] + ib) * g.in[2] * channels;
        for (int64_t k = 0; k < g.kernel[2]; ++k) {
          float* to = weight + ((a * g.kernel[1] + b) * g.kernel[2] + k) * channels;
          for (int64_t w = 0; w < g.out[2]; ++w) {
            int64_t iw = input_at(g, 2, w, k);
            if (iw < 0) continue;
            const float* from = line + iw * channels;
            const float* gradient = y + (row * g.out[2] + w) * channels;
            for (int64_t c = 0; c < channels; ++c) to[c] += from[c] * gradient[c];
          }
        }
      }
    }
  }
}

}  // namespace wafer::cpu::WAFER_ISA
