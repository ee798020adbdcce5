#include <algorithm>
#include <cmath>
#include <cstring>

#include "wafer/backend/cpu/grain.h"
#include "wafer/backend/cpu/rows.h"
#include "wafer/backend/cpu/simd/rows.h"
#include "wafer/base/threads.h"
#include "wafer/op/norm.h"
#include "wafer/op/op.h"
#include "wafer/runtime/kernel.h"

// Batch normalisation: one pass over the input for both moments of every channel, one to normalise.
namespace wafer::cpu {

namespace {

// x as `outer` blocks of memory. Channels innermost: rows of all channels. Else planes: every
// `channels` consecutive ones make a sample.
struct Geometry {
  bool channels_innermost = false;
  int64_t channels = 1;
  int64_t rows = 1;    // values per channel
  int64_t plane = 1;   // elements of a plane
  int64_t planes = 1;  // samples times channels

  explicit Geometry(const Type& x) {
    channels = x.shape.size(1);
    rows = x.elements() / channels;
    plane = rows / x.shape.size(0);
    planes = x.elements() / plane;
    channels_innermost = plane == 1 || (x.layout == Layout::channels_last && x.shape.rank() >= 3);
  }
};

// Sums of two quantities for each channel, over all its values.
struct Sums {
  std::vector<double> first, second;
};

class Pass {
 public:
  Pass(const Type& x, DType statistics_dtype, bool with_g)
      : geometry(x), floats(x.dtype), statistics(statistics_dtype), with_g_(with_g) {
    int64_t elements = x.elements();
    parts_ = std::clamp<int64_t>(
        elements / grain_elements, 1,
        std::min(most_parts, geometry.channels_innermost ? geometry.rows : geometry.planes));
  }

  // Sums (x - shift) and (x - shift)^2; with g, g and g (x - shift).
  Sums sums(const void* g, const void* x, const float* shift) const {
    auto channels = static_cast<size_t>(geometry.channels);
    std::vector<double> partial(static_cast<size_t>(parts_) * 2 * channels);
    parallel_for(parts_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        double* first = partial.data() + static_cast<size_t>(part) * 2 * channels;
        each_block(part, [&](const Block& block, float* buffer) {
          const float* values = floats.read(x, block.at, block.count, buffer);
          const float* gradient = read_gradient(g, block, buffer);
          if (geometry.channels_innermost)
            columns_(gradient, values, shift, block.count / geometry.channels, geometry.channels,
                     first, first + channels);
          else
            run_(gradient, values, shift[block.channel], block.count, first + block.channel,
                 first + channels + static_cast<size_t>(block.channel));
        });
      }
    });
    Sums result{std::vector<double>(channels), std::vector<double>(channels)};
    for (size_t part = 0; part < static_cast<size_t>(parts_); ++part) {
      for (size_t c = 0; c < channels; ++c) {
        result.first[c] += partial[part * 2 * channels + c];
        result.second[c] += partial[(part * 2 + 1) * channels + c];
      }
    }
    return result;
  }

  // y = (x - mean) b + c, plus g a with g; factors are per channel.
  void affine(const void* g, const void* x, const float* mean, const float* a, const float* b,
              const float* c, void* y) const {
    parallel_for(parts_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        each_block(part, [&](const Block& block, float* buffer) {
          const float* values = floats.read(x, block.at, block.count, buffer);
          const float* gradient = read_gradient(g, block, buffer);
          float* to = floats.place(y, block.at, buffer);
          auto k = static_cast<size_t>(block.channel);
          if (geometry.channels_innermost)
            column_affine_(gradient, values, mean, a, b, c, to, block.count / geometry.channels,
                           geometry.channels);
          else
            run_affine_(gradient, values, mean[k], with_g_ ? a[k] : 0, b[k], c[k], to, block.count);
          floats.write(y, block.at, block.count, to);
        });
      }
    });
  }

  Geometry geometry;
  Floats floats, statistics;  // of the values; of weights and of one number a channel

 private:
  // Some elements that lie together: rows of all channels, or (a piece of) one channel's plane.
  struct Block {
    int64_t at, count, channel;
  };

  size_t buffer_floats() const {
    return static_cast<size_t>(std::max<int64_t>(4096, geometry.channels));
  }

  // With a buffer behind that of the values, where one is needed; null where there is no gradient.
  const float* read_gradient(const void* g, const Block& block, float* buffer) const {
    if (!with_g_) return nullptr;
    return floats.read(g, block.at, block.count, buffer ? buffer + buffer_floats() : nullptr);
  }

  template <class F>
  void each_block(int64_t part, F&& work) const {
    std::vector<float> memory(floats.direct() ? 0 : buffer_floats() * 2);
    float* buffer = memory.data();
    const Geometry& s = geometry;
    int64_t all = s.channels_innermost ? s.rows : s.planes;
    int64_t begin = all * part / parts_, end = all * (part + 1) / parts_;
    if (s.channels_innermost) {
      // Rows by the hundred also keep sums of f32 short.
      int64_t together = std::max<int64_t>(
          1, floats.direct() ? 512 : static_cast<int64_t>(buffer_floats()) / s.channels);
      for (int64_t row = begin; row < end; row += together)
        work(Block{row * s.channels, std::min(together, end - row) * s.channels, 0}, buffer);
      return;
    }
    for (int64_t plane = begin; plane < end; ++plane) {
      for (int64_t at = 0; at < s.plane; at += 4096)
        work(Block{plane * s.plane + at, std::min<int64_t>(4096, s.plane - at), plane % s.channels},
             buffer);
    }
  }

  bool with_g_;
  int64_t parts_ = 1;
  decltype(column_moments_kernel()) columns_ = column_moments_kernel();
  decltype(run_moments_kernel()) run_ = run_moments_kernel();
  decltype(column_affine_kernel()) column_affine_ = column_affine_kernel();
  decltype(run_affine_kernel()) run_affine_ = run_affine_kernel();
};

std::vector<float> channel_values(const Pass& pass, const void* from) {
  std::vector<float> values(static_cast<size_t>(pass.geometry.channels));
  for (size_t c = 0; c < values.size(); ++c)
    values[c] = pass.statistics.get(from, static_cast<int64_t>(c));
  return values;
}
void write_channels(const Pass& pass, void* to, const std::vector<float>& values) {
  for (size_t c = 0; to && c < values.size(); ++c)
    pass.statistics.set(to, static_cast<int64_t>(c), values[c]);
}
}  // namespace

// x, weight, bias -> y, mean, variance.
WAFER_KERNEL(batch_norm) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  context.kernel = str("channels:", name(isa()));
  Pass pass(node.inputs[0].type(), node.inputs[1].dtype(), false);
  double epsilon = node.attr<BatchNormAttrs>().epsilon;
  return [=](const StepArgs& args) {
    auto channels = static_cast<size_t>(pass.geometry.channels);
    auto n = static_cast<double>(pass.geometry.rows);
    // Distances from a channel's first value: the squares of distances from 0 would cancel.
    std::vector<float> shift(channels), mean(channels), variance(channels), scale(channels);
    for (size_t c = 0; c < channels; ++c) {
      auto at = static_cast<int64_t>(c);
      shift[c] = pass.floats.get(args.in[0],
                                 pass.geometry.channels_innermost ? at : at * pass.geometry.plane);
    }
    Sums sums = pass.sums(nullptr, args.in[0], shift.data());
    std::vector<float> weight = channel_values(pass, args.in[1]);
    std::vector<float> bias = channel_values(pass, args.in[2]);
    for (size_t c = 0; c < channels; ++c) {
      double distance = sums.first[c] / n;
      double spread = std::max(0.0, sums.second[c] / n - distance * distance);
      if (std::isnan(sums.second[c])) spread = sums.second[c];
      mean[c] = static_cast<float>(static_cast<double>(shift[c]) + distance);
      variance[c] = static_cast<float>(spread);
      scale[c] = static_cast<float>(static_cast<double>(weight[c]) / std::sqrt(spread + epsilon));
    }
    if (args.out[0])
      pass.affine(nullptr, args.in[0], mean.data(), nullptr, scale.data(), bias.data(),
                  args.out[0]);
    write_channels(pass, args.out[1], mean);
    write_channels(pass, args.out[2], variance);
  };
}

// y's gradient, x, weight, mean, variance -> gradients of x, weight, bias.
WAFER_KERNEL(batch_norm_gradient) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  WAFER_CHECK(node.inputs[0].type() == node.inputs[1].type(), "batch_norm_gradient of ",
              node.inputs[0].type(), " and ", node.inputs[1].type());
  context.kernel = str("channels:", name(isa()));
  Pass pass(node.inputs[1].type(), node.inputs[2].dtype(), true);
  double epsilon = node.attr<BatchNormAttrs>().epsilon;
  return [=](const StepArgs& args) {
    auto channels = static_cast<size_t>(pass.geometry.channels);
    auto n = static_cast<double>(pass.geometry.rows);
    std::vector<float> weight = channel_values(pass, args.in[2]);
    std::vector<float> mean = channel_values(pass, args.in[3]);
    std::vector<float> variance = channel_values(pass, args.in[4]);
    Sums sums = pass.sums(args.in[0], args.in[1], mean.data());
    std::vector<float> a(channels), b(channels), c(channels), by_weight(channels),
        by_bias(channels);
    for (size_t k = 0; k < channels; ++k) {
      double inverse = 1.0 / std::sqrt(static_cast<double>(variance[k]) + epsilon);
      double factor = static_cast<double>(weight[k]) * inverse;
      by_bias[k] = static_cast<float>(sums.first[k]);
      by_weight[k] = static_cast<float>(sums.second[k] * inverse);
      a[k] = static_cast<float>(factor);
      b[k] = static_cast<float>(-factor * inverse * inverse * sums.second[k] / n);
      c[k] = static_cast<float>(-factor * sums.first[k] / n);
    }
    if (args.out[0])
      pass.affine(args.in[0], args.in[1], mean.data(), a.data(), b.data(), c.data(), args.out[0]);
    write_channels(pass, args.out[1], by_weight);
    write_channels(pass, args.out[2], by_bias);
  };
}

}  // namespace wafer::cpu
