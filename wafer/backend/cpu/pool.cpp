#include "wafer/op/pool.h"

#include <algorithm>
#include <limits>

#include "wafer/backend/cpu/simd/pool.h"
#include "wafer/base/threads.h"
#include "wafer/runtime/kernel.h"

namespace wafer::cpu {

namespace {
constexpr int64_t grain_bytes = 1 << 15;

// A PoolGeometry and the tables that it points to.
struct Plan {
  std::vector<int32_t> tables[3][5];
  PoolGeometry geometry;

  template <class A>
  Plan(const A& attrs, const Shape& in, const Shape& out) {
    geometry.batch = in.size(0);
    geometry.channels = in.size(1);
    geometry.count_padding = attrs.count_padding;
    size_t spatial = attrs.kernel.size();
    for (size_t i = 0; i < 3; ++i) {
      PoolAxis& axis = geometry.axis[i];
      if (i + spatial >= 3) {
        size_t s = i + spatial - 3;
        axis.in = in.size(static_cast<int>(s) + 2);
        axis.out = out.size(static_cast<int>(s) + 2);
        axis.kernel = attrs.kernel[s];
        axis.stride = attrs.stride[s];
        axis.low = attrs.padding_low[s];
        axis.dilation = attrs.dilation[s];
      }
      fill_tables(axis, tables[i]);
    }
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  static void fill_tables(PoolAxis& axis, std::vector<int32_t> (&t)[5]) {
    std::vector<std::vector<std::pair<int32_t, int32_t>>> covers(static_cast<size_t>(axis.in));
    for (int64_t o = 0; o < axis.out; ++o) {
      int64_t first = axis.kernel, last = -1;
      for (int64_t k = 0; k < axis.kernel; ++k) {
        int64_t i = o * axis.stride - axis.low + k * axis.dilation;
        if (i < 0 || i >= axis.in) continue;
        first = std::min(first, k);
        last = k;
        covers[static_cast<size_t>(i)].emplace_back(static_cast<int32_t>(o),
                                                    static_cast<int32_t>(k));
      }
      t[0].push_back(static_cast<int32_t>(std::min(first, last + 1)));
      t[1].push_back(static_cast<int32_t>(last + 1));
    }
    t[2].push_back(0);
    for (const auto& cover : covers) {
      for (auto [o, k] : cover) {
        t[3].push_back(o);
        t[4].push_back(k);
      }
      t[2].push_back(static_cast<int32_t>(t[3].size()));
    }
    axis.k_begin = t[0].data();
    axis.k_end = t[1].data();
    axis.cover = t[2].data();
    axis.cover_out = t[3].data();
    axis.cover_k = t[4].data();
  }
};

// Element strides of batch, channels and three spatial axes.
struct Strides {
  int64_t batch, channel, axis[3] = {0, 0, 0};
  explicit Strides(const Type& type) {
    std::vector<int64_t> s = type.strides();
    batch = s[0];
    channel = s[1];
    for (size_t i = 2; i < s.size(); ++i) axis[3 - s.size() + i] = s[i];
  }
};

// f16 and bf16 compare and add as f32.
template <class T>
using Wide =
    std::conditional_t<std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>, float, T>;

template <class T>
constexpr T lowest_of() {
  if constexpr (std::is_floating_point_v<T>) {
    return -std::numeric_limits<T>::infinity();
  } else {
    return std::numeric_limits<T>::lowest();
  }
}

// Calls body(n, c) for every image's every channel, in parallel.
template <class Body>
void over_planes(const PoolGeometry& g, const Body& body) {
  parallel_for(g.batch * g.channels, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i / g.channels, i % g.channels);
  });
}

// Calls body(o, position) for every element of a block of three axes.
template <class Body>
void over_positions(const int64_t (&size)[3], const Body& body) {
  int64_t p[3];
  for (p[0] = 0; p[0] < size[0]; ++p[0]) {
    for (p[1] = 0; p[1] < size[1]; ++p[1]) {
      for (p[2] = 0; p[2] < size[2]; ++p[2]) body(p);
    }
  }
}

int64_t at(const Strides& s, int64_t n, int64_t c, const int64_t (&p)[3]) {
  return n * s.batch + c * s.channel + p[0] * s.axis[0] + p[1] * s.axis[1] + p[2] * s.axis[2];
}

// Calls body(input offset, place in the window) for the part of window `o` that lies inside.
template <class Body>
void over_window(const PoolGeometry& g, const Strides& in, const int64_t (&o)[3],
                 const Body& body) {
  const PoolAxis(&x)[3] = g.axis;
  for (int64_t a = x[0].k_begin[o[0]]; a < x[0].k_end[o[0]]; ++a) {
    for (int64_t b = x[1].k_begin[o[1]]; b < x[1].k_end[o[1]]; ++b) {
      for (int64_t w = x[2].k_begin[o[2]]; w < x[2].k_end[o[2]]; ++w) {
        int64_t offset = (o[0] * x[0].stride - x[0].low + a * x[0].dilation) * in.axis[0] +
                         (o[1] * x[1].stride - x[1].low + b * x[1].dilation) * in.axis[1] +
                         (o[2] * x[2].stride - x[2].low + w * x[2].dilation) * in.axis[2];
        body(offset, (a * x[1].kernel + b) * x[2].kernel + w);
      }
    }
  }
}

// Calls body(window, place in it) for the windows that hold input position `i`.
template <class Body>
void over_cover(const PoolGeometry& g, const int64_t (&i)[3], const Body& body) {
  const PoolAxis(&x)[3] = g.axis;
  for (int32_t a = x[0].cover[i[0]]; a < x[0].cover[i[0] + 1]; ++a) {
    for (int32_t b = x[1].cover[i[1]]; b < x[1].cover[i[1] + 1]; ++b) {
      for (int32_t w = x[2].cover[i[2]]; w < x[2].cover[i[2] + 1]; ++w) {
        int64_t o[3] = {x[0].cover_out[a], x[1].cover_out[b], x[2].cover_out[w]};
        body(o, (x[0].cover_k[a] * x[1].kernel + x[1].cover_k[b]) * x[2].kernel + x[2].cover_k[w]);
      }
    }
  }
}

double divisor_of(const PoolGeometry& g, const int64_t (&o)[3]) {
  double divisor = 1;
  for (int d = 0; d < 3; ++d) {
    const PoolAxis& x = g.axis[d];
    divisor *= static_cast<double>(g.count_padding ? x.kernel : x.k_end[o[d]] - x.k_begin[o[d]]);
  }
  return divisor > 0 ? divisor : 1;
}

template <class T, class Index>
void max_pool_any(const PoolGeometry& g, const Strides& in, const Strides& out, const T* x, T* y,
                  Index* index) {
  over_planes(g, [&](int64_t n, int64_t c) {
    const T* plane = x + n * in.batch + c * in.channel;
    over_positions({g.axis[0].out, g.axis[1].out, g.axis[2].out}, [&](const int64_t(&o)[3]) {
      Wide<T> best = lowest_of<Wide<T>>();
      int64_t place = -1;
      over_window(g, in, o, [&](int64_t offset, int64_t k) {
        auto value = static_cast<Wide<T>>(plane[offset]);
        if (place < 0 || value > best || (value != value && best == best)) {
          best = value;
          place = k;
        }
      });
      int64_t to = at(out, n, c, o);
      y[to] = static_cast<T>(best);
      if (index != nullptr) index[to] = static_cast<Index>(std::max<int64_t>(place, 0));
    });
  });
}

template <class T, class Index>
void max_pool_gradient_any(const PoolGeometry& g, const Strides& in, const Strides& out,
                           const T* gradient, const Index* index, T* dx) {
  over_planes(g, [&](int64_t n, int64_t c) {
    over_positions({g.axis[0].in, g.axis[1].in, g.axis[2].in}, [&](const int64_t(&i)[3]) {
      Wide<T> sum{};
      over_cover(g, i, [&](const int64_t(&o)[3], int64_t k) {
        int64_t from = at(out, n, c, o);
        if (static_cast<int64_t>(index[from]) == k) sum += static_cast<Wide<T>>(gradient[from]);
      });
      dx[at(in, n, c, i)] = static_cast<T>(sum);
    });
  });
}

template <class T>
void avg_pool_any(const PoolGeometry& g, const Strides& in, const Strides& out, const T* x, T* y) {
  over_planes(g, [&](int64_t n, int64_t c) {
    const T* plane = x + n * in.batch + c * in.channel;
    over_positions({g.axis[0].out, g.axis[1].out, g.axis[2].out}, [&](const int64_t(&o)[3]) {
      double sum = 0;
      over_window(g, in, o,
                  [&](int64_t offset, int64_t) { sum += static_cast<double>(plane[offset]); });
      y[at(out, n, c, o)] = static_cast<T>(sum / divisor_of(g, o));
    });
  });
}

template <class T>
void avg_pool_gradient_any(const PoolGeometry& g, const Strides& in, const Strides& out,
                           const T* gradient, T* dx) {
  over_planes(g, [&](int64_t n, int64_t c) {
    over_positions({g.axis[0].in, g.axis[1].in, g.axis[2].in}, [&](const int64_t(&i)[3]) {
      double sum = 0;
      over_cover(g, i, [&](const int64_t(&o)[3], int64_t) {
        sum += static_cast<double>(gradient[at(out, n, c, o)]) / divisor_of(g, o);
      });
      dx[at(in, n, c, i)] = static_cast<T>(sum);
    });
  });
}

// The vectorised kernels take channels-last f32 and bf16, with places in a byte.
bool is_fast(std::initializer_list<const Type*> values, const Type* index) {
  for (const Type* type : values) {
    if (type->layout != Layout::channels_last) return false;
    if (type->dtype != DType::f32 && type->dtype != DType::bf16) return false;
  }
  return index == nullptr || (index->dtype == DType::u8 && index->layout == Layout::channels_last);
}

template <class Body>
void over_rows(const PoolGeometry& g, bool of_input, const Body& body) {
  auto size = [&](int d) { return of_input ? g.axis[d].in : g.axis[d].out; };
  int64_t row_bytes = size(2) * g.channels * 4;
  if (row_bytes == 0) return;
  parallel_for(g.batch * size(0) * size(1), grain_bytes / row_bytes + 1, body);
}

template <class F>
void visit_index(DType dtype, F&& fn) {
  if (dtype == DType::u8) return fn(std::type_identity<uint8_t>{});
  fn(std::type_identity<int32_t>{});
}
}  // namespace

WAFER_KERNEL(max_pool) {
  Type x = node.inputs[0].type(), y = node.outputs[0], places = node.outputs[1];
  auto plan = std::make_shared<const Plan>(node.attr<PoolAttrs>(), x.shape, y.shape);
  bool with_index = context.output_used.size() < 2 || context.output_used[1];
  // Where only the places are wanted, the values go nowhere.
  bool with_values = context.output_used.empty() || context.output_used[0];
  if (!with_values) context.scratch_bytes = y.bytes();
  if (is_fast({&x, &y}, with_index ? &places : nullptr) &&
      (!with_index || places.dtype == DType::u8)) {
    context.kernel = str("own:", name(isa()));
    return [plan, with_index, with_values, bf16 = x.dtype == DType::bf16,
            rows = max_pool_rows_kernel()](const StepArgs& args) {
      const PoolGeometry& g = plan->geometry;
      void* values = with_values ? args.out[0] : args.scratch;
      uint8_t* index = with_index ? args.output<uint8_t>(1) : nullptr;
      over_rows(g, false, [&](int64_t begin, int64_t end) {
        rows(g, bf16, args.in[0], values, index, begin, end);
      });
    };
  }
  WAFER_CHECK(!with_index || places.layout == y.layout, "max_pool: layouts differ");
  return [=](const StepArgs& args) {
    visit(x.dtype, [&]<class T>(std::type_identity<T>) {
      visit_index(places.dtype, [&]<class Index>(std::type_identity<Index>) {
        T* values = with_values ? args.output<T>(0) : reinterpret_cast<T*>(args.scratch);
        max_pool_any(plan->geometry, Strides(x), Strides(y), args.input<T>(0), values,
                     with_index ? args.output<Index>(1) : nullptr);
      });
    });
  };
}

WAFER_KERNEL(max_pool_gradient) {
  Type gradient = node.inputs[0].type(), places = node.inputs[1].type(), dx = node.outputs[0];
  auto plan =
      std::make_shared<const Plan>(node.attr<PoolGradientAttrs>(), dx.shape, gradient.shape);
  if (is_fast({&gradient, &dx}, &places)) {
    context.kernel = str("own:", name(isa()));
    return [plan, bf16 = dx.dtype == DType::bf16,
            rows = max_pool_gradient_rows_kernel()](const StepArgs& args) {
      const PoolGeometry& g = plan->geometry;
      over_rows(g, true, [&](int64_t begin, int64_t end) {
        rows(g, bf16, args.in[0], args.input<uint8_t>(1), args.out[0], begin, end);
      });
    };
  }
  WAFER_CHECK(places.layout == gradient.layout, "max_pool_gradient: layouts differ");
  return [=](const StepArgs& args) {
    visit(dx.dtype, [&]<class T>(std::type_identity<T>) {
      visit_index(places.dtype, [&]<class Index>(std::type_identity<Index>) {
        max_pool_gradient_any(plan->geometry, Strides(dx), Strides(gradient), args.input<T>(0),
                              args.input<Index>(1), args.output<T>(0));
      });
    });
  };
}

WAFER_KERNEL(avg_pool) {
  Type x = node.inputs[0].type(), y = node.outputs[0];
  auto plan = std::make_shared<const Plan>(node.attr<PoolAttrs>(), x.shape, y.shape);
  if (is_fast({&x, &y}, nullptr)) {
    context.kernel = str("own:", name(isa()));
    return
        [plan, bf16 = x.dtype == DType::bf16, rows = avg_pool_rows_kernel()](const StepArgs& args) {
          const PoolGeometry& g = plan->geometry;
          over_rows(g, false, [&](int64_t begin, int64_t end) {
            rows(g, bf16, args.in[0], args.out[0], begin, end);
          });
        };
  }
  return [=](const StepArgs& args) {
    visit(x.dtype, [&]<class T>(std::type_identity<T>) {
      avg_pool_any(plan->geometry, Strides(x), Strides(y), args.input<T>(0), args.output<T>(0));
    });
  };
}

WAFER_KERNEL(avg_pool_gradient) {
  Type gradient = node.inputs[0].type(), dx = node.outputs[0];
  auto plan =
      std::make_shared<const Plan>(node.attr<PoolGradientAttrs>(), dx.shape, gradient.shape);
  if (is_fast({&gradient, &dx}, nullptr)) {
    context.kernel = str("own:", name(isa()));
    return [plan, bf16 = dx.dtype == DType::bf16,
            rows = avg_pool_gradient_rows_kernel()](const StepArgs& args) {
      const PoolGeometry& g = plan->geometry;
      over_rows(g, true, [&](int64_t begin, int64_t end) {
        rows(g, bf16, args.in[0], args.out[0], begin, end);
      });
    };
  }
  return [=](const StepArgs& args) {
    visit(dx.dtype, [&]<class T>(std::type_identity<T>) {
      avg_pool_gradient_any(plan->geometry, Strides(dx), Strides(gradient), args.input<T>(0),
                            args.output<T>(0));
    });
  };
}

}  // namespace wafer::cpu
