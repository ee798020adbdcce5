#include "wafer/backend/cpu/simd/conv_direct.h"

#include "wafer/backend/cpu/simd/multiply.h"

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

// Where one kernel position reads, for the first of some positions of a row, and its weights.
struct Tap {
  const float *from, *weight;
};
// Those of a window that are summed in one go. Of more, each position is summed by itself.
constexpr int64_t most_taps = 64;

// `count` positions whose taps lie `step` apart, added to what `to` holds unless `first`.
template <int count>
void sum_taps(const Tap* taps, int64_t tap_count, int64_t step, int64_t channels, float* to,
              bool first, const Finish& f, int64_t at) {
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    VFloat sum[count];
#pragma GCC unroll 8
    for (int j = 0; j < count; ++j) {
      sum[j] = VFloat{};
      if (!first) sum[j] = load<VFloat>(to + j * channels + c);
    }
    for (int64_t t = 0; t < tap_count; ++t) {
      VFloat weight = load<VFloat>(taps[t].weight + c);
      const float* from = taps[t].from + c;
#pragma GCC unroll 8
      for (int j = 0; j < count; ++j) sum[j] += load<VFloat>(from + j * step) * weight;
    }
#pragma GCC unroll 8
    for (int j = 0; j < count; ++j)
      store(to + j * channels + c, finish(sum[j], f, c, at + j * channels + c));
  }
  for (; c < channels; ++c) {
    for (int j = 0; j < count; ++j) {
      float sum = first ? 0 : to[j * channels + c];
      for (int64_t t = 0; t < tap_count; ++t) sum += taps[t].from[j * step + c] * taps[t].weight[c];
      to[j * channels + c] = finish(sum, f, c, at + j * channels + c);
    }
  }
}

// One row of y.
class DepthwiseRow {
 public:
  DepthwiseRow(const DepthwiseGeometry& g, const float* x, const float* weight, float* y,
               const Finish& finish, int64_t row)
      : g_(g), x_(x), weight_(weight), y_(y), finish_(finish), row_(row), at_(row_of(row, g.out)) {}

  void run() {
    // Positions whose windows lie inside along the last axis.
    int64_t reach = (g_.kernel[2] - 1) * g_.dilation[2], stride = g_.stride[2];
    int64_t first = g_.low[2] > 0 ? (g_.low[2] + stride - 1) / stride : 0;
    int64_t room = g_.in[2] - 1 - reach + g_.low[2];
    int64_t last = room < 0 ? 0 : room / stride + 1;
    first = least(first, g_.out[2]);
    last = least(last < first ? first : last, g_.out[2]);
    int64_t w = 0;
    for (; w < first; ++w) one_position(w);
    if (all_taps() <= most_taps && w < last) {
      find_taps(w, 0, all_taps());
      w = positions<6>(w, last);
      w = positions<4>(w, last);
      w = positions<2>(w, last);
    }
    for (; w < g_.out[2]; ++w) one_position(w);
  }

 private:
  int64_t all_taps() const { return g_.kernel[0] * g_.kernel[1] * g_.kernel[2]; }

  // Those of the window's taps [begin, end) that lie inside at position w.
  void find_taps(int64_t w, int64_t begin, int64_t end) {
    tap_count_ = 0;
    for (int64_t tap = begin; tap < end; ++tap) {
      int64_t line = tap / g_.kernel[2];
      int64_t ia = input_at(g_, 0, at_.first, line / g_.kernel[1]);
      int64_t ib = input_at(g_, 1, at_.second, line % g_.kernel[1]);
      int64_t iw = input_at(g_, 2, w, tap % g_.kernel[2]);
      if (ia < 0 || ib < 0 || iw < 0) continue;
      int64_t from = ((at_.batch * g_.in[0] + ia) * g_.in[1] + ib) * g_.in[2] + iw;
      taps_[tap_count_++] = {x_ + from * g_.channels, weight_ + tap * g_.channels};
    }
  }

  template <int count>
  void sum(int64_t w, bool first, const Finish& finish) {
    int64_t at = (row_ * g_.out[2] + w) * g_.channels;
    sum_taps<count>(taps_, tap_count_, g_.stride[2] * g_.channels, g_.channels, y_ + at, first,
                    finish, at);
  }

  // Whole groups of positions from w on, whose taps were found; gives the next one.
  template <int count>
  int64_t positions(int64_t w, int64_t last) {
    for (; w + count <= last; w += count) {
      sum<count>(w, true, finish_);
      for (int64_t t = 0; t < tap_count_; ++t) taps_[t].from += count * g_.stride[2] * g_.channels;
    }
    return w;
  }

  void one_position(int64_t w) {
    for (int64_t tap = 0; tap < all_taps(); tap += most_taps) {
      int64_t end = least(tap + most_taps, all_taps());
      find_taps(w, tap, end);
      sum<1>(w, tap == 0, end == all_taps() ? finish_ : Finish{});
    }
  }

  const DepthwiseGeometry& g_;
  const float *x_, *weight_;
  float* y_;
  const Finish& finish_;
  int64_t row_;
  Row at_;
  Tap taps_[most_taps];
  int64_t tap_count_ = 0;
};
}  // namespace

void depthwise_rows(const DepthwiseGeometry& g, const float* x, const float* weight, float* y,
                    const Finish& finish, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) DepthwiseRow(g, x, weight, y, finish, row).run();
}

namespace {
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
