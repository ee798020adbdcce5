#include "wafer/op/pool.h"

#include <algorithm>

#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

Shape pool_shape(const Shape& x, const PoolAttrs& a) {
  size_t spatial = a.kernel.size();
  WAFER_REQUIRE(x.rank() == static_cast<int>(spatial) + 2, "pool", "an input of ", x,
                "; expected [batch, channels, ", spatial, " spatial dimensions]");
  Shape y = x;
  WAFER_CHECK(a.stride.size() == spatial && a.padding_low.size() == spatial &&
                  a.padding_high.size() == spatial && a.dilation.size() == spatial,
              "pool: attributes of different lengths");
  for (size_t i = 0; i < spatial; ++i) {
    auto d = static_cast<int>(i) + 2;
    WAFER_REQUIRE(a.kernel[i] > 0 && a.stride[i] > 0 && a.dilation[i] > 0, "pool",
                  "kernel, stride and dilation must be positive");
    WAFER_REQUIRE(a.padding_low[i] >= 0 && a.padding_high[i] >= 0 &&
                      a.padding_low[i] < a.dilation[i] * a.kernel[i],
                  "pool", "padding ", a.padding_low[i], " for a kernel of ", a.kernel[i],
                  ": a window would hold nothing but padding");
    int64_t window = a.dilation[i] * (a.kernel[i] - 1) + 1;
    int64_t padded = x.size(d) + a.padding_low[i] + a.padding_high[i];
    if (padded < window) {
      throw UserError("pool", str("a window of ", window, " does not fit into size ", x.size(d)),
                      {.got = str("input ", x), .hint = "use a smaller kernel or pool less often"});
    }
    y.set(d, (padded - window) / a.stride[i] + 1);
  }
  return y;
}

PoolAttrs plain(const PoolGradientAttrs& a) {
  return {a.kernel, a.stride, a.padding_low, a.padding_high, a.dilation, a.count_padding};
}
PoolGradientAttrs with_shape(const PoolAttrs& a, const Shape& shape) {
  return {a.kernel, a.stride, a.padding_low, a.padding_high, a.dilation, a.count_padding, shape};
}

int64_t window_elements(const std::vector<int64_t>& kernel) {
  int64_t count = 1;
  for (int64_t k : kernel) count *= k;
  return count;
}

// A winner's place within its window, row-major; a byte where that is enough.
DType index_dtype(const std::vector<int64_t>& kernel) {
  return window_elements(kernel) <= 256 ? DType::u8 : DType::i32;
}

std::vector<Type> infer_max_pool(const InferArgs& args) {
  const auto& attrs = args.attrs.as<PoolAttrs>();
  Shape shape = pool_shape(args.inputs[0].shape(), attrs);
  return {Type{args.inputs[0].dtype(), shape}, Type{index_dtype(attrs.kernel), shape}};
}

std::vector<Type> infer_avg_pool(const InferArgs& args) {
  return {
      Type{args.inputs[0].dtype(), pool_shape(args.inputs[0].shape(), args.attrs.as<PoolAttrs>())}};
}

std::vector<Type> infer_pool_gradient(const InferArgs& args) {
  const auto& attrs = args.attrs.as<PoolGradientAttrs>();
  Shape expected = pool_shape(attrs.shape, plain(attrs));
  WAFER_REQUIRE(args.inputs[0].shape() == expected, "pool gradient", "gradient of ",
                args.inputs[0].shape(), " where pooling ", attrs.shape, " gives ", expected);
  return {Type{args.inputs[0].dtype(), attrs.shape}};
}

template <class A>
double window_flops(const Node& node, const Shape& pooled) {
  return static_cast<double>(pooled.elements() * window_elements(node.attr<A>().kernel));
}

std::vector<int64_t> spread(const std::vector<int64_t>& values, size_t spatial) {
  if (values.size() == spatial) return values;
  WAFER_REQUIRE(values.size() == 1, "pool", values.size(), " numbers for ", spatial,
                " spatial dimensions");
  return std::vector<int64_t>(spatial, values[0]);
}

PoolAttrs attrs_of(const Tensor& x, const PoolOptions& o) {
  WAFER_REQUIRE(x.rank() >= 3 && x.rank() <= 5, "pool", "an input of ", x.shape(),
                "; expected [batch, channels, one to three spatial dimensions]");
  auto spatial = static_cast<size_t>(x.rank() - 2);
  PoolAttrs a;
  a.kernel = spread(o.kernel, spatial);
  a.stride = o.stride.empty() ? a.kernel : spread(o.stride, spatial);
  a.padding_low = a.padding_high = spread(o.padding, spatial);
  a.dilation = spread(o.dilation, spatial);
  a.count_padding = o.count_padding;
  for (size_t i = 0; i < spatial && o.ceil_mode; ++i) {
    // More padding behind, so that the last window starts inside the input or its first padding.
    int64_t window = a.dilation[i] * (a.kernel[i] - 1) + 1;
    int64_t size = x.size(static_cast<int>(i) + 2), room = size + 2 * a.padding_low[i] - window;
    int64_t outputs = (room + a.stride[i] - 1) / a.stride[i] + 1;
    if ((outputs - 1) * a.stride[i] >= size + a.padding_low[i]) --outputs;
    a.padding_high[i] =
        std::max(a.padding_high[i], (outputs - 1) * a.stride[i] + window - size - a.padding_low[i]);
  }
  return a;
}

// Averages that count padding, without what ceil_mode added behind the given padding: as in
// PyTorch, that is not counted. Along each axis a window of k elements, c of them counted, gains k
// / c.
Tensor without_extra_padding(Tensor y, const Tensor& x, const PoolAttrs& a) {
  for (size_t i = 0; i < a.kernel.size(); ++i) {
    if (a.padding_high[i] <= a.padding_low[i]) continue;
    auto d = static_cast<int>(i) + 2;
    int64_t end = x.size(d) + 2 * a.padding_low[i];  // of what counts, from the first padding
    std::vector<double> gain;
    for (int64_t at = 0; at < y.size(d); ++at) {
      int64_t left = end - at * a.stride[i];
      int64_t counted =
          std::clamp<int64_t>((left + a.dilation[i] - 1) / a.dilation[i], 1, a.kernel[i]);
      gain.push_back(static_cast<double>(a.kernel[i]) / static_cast<double>(counted));
    }
    std::vector<int64_t> sizes(static_cast<size_t>(y.rank()), 1);
    sizes[i + 2] = y.size(d);
    y = y * cast(Tensor::from_values(gain, Shape(sizes)), y.dtype());
  }
  return y;
}

// Pools window by window along one axis where the windows have different sizes.
template <class Reduce>
Tensor adaptive_axis(const Tensor& x, int axis, int64_t outputs, Reduce reduce) {
  int64_t size = x.size(axis);
  WAFER_REQUIRE(outputs > 0, "adaptive pool", "an output size must be positive; got ", outputs);
  Tensors parts;
  for (int64_t i = 0; i < outputs; ++i) {
    parts.push_back(reduce(
        narrow(x, axis, i * size / outputs, ((i + 1) * size + outputs - 1) / outputs), Axes{axis}));
  }
  return concat(parts, axis);
}

template <class Pool, class Reduce>
Tensor adaptive(const Tensor& x, const std::vector<int64_t>& sizes, Pool pool, Reduce reduce) {
  auto wanted = spread(sizes, static_cast<size_t>(std::max(x.rank() - 2, 0)));
  bool divides = true;
  std::vector<int64_t> kernel;
  for (size_t i = 0; i < wanted.size(); ++i) {
    int64_t size = x.size(static_cast<int>(i) + 2);
    divides = divides && wanted[i] > 0 && size % wanted[i] == 0;
    kernel.push_back(wanted[i] > 0 ? size / wanted[i] : 0);
  }
  if (divides) return pool(x, PoolOptions{.kernel = kernel});
  Tensor y = x;
  for (size_t i = 0; i < wanted.size(); ++i)
    y = adaptive_axis(y, static_cast<int>(i) + 2, wanted[i], reduce);
  return y;
}
}  // namespace

const OpDef max_pool_def = {
    .name = "max_pool",
    .infer = infer_max_pool,
    .vjp = [](const VjpArgs& v) -> Tensors {
      if (!v.output_gradients[0]) return {{}};
      return {make(op::max_pool_gradient, {v.output_gradients[0], v.outputs[1]},
                   with_shape(v.node.attr<PoolAttrs>(), v.inputs[0].shape()))};
    },
    .cost = [](const Node& node) -> Cost {
      return {window_flops<PoolAttrs>(node, node.outputs[0].shape), bytes_touched(node)};
    },
    .read_attrs = Attrs::read<PoolAttrs>};

// Not differentiable: the gradient of the gradient needs the winners' values again, which no user
// asked for.
const OpDef max_pool_gradient_def = {.name = "max_pool_gradient",
                                     .infer = infer_pool_gradient,
                                     .read_attrs = Attrs::read<PoolGradientAttrs>};

const OpDef avg_pool_def = {
    .name = "avg_pool",
    .infer = infer_avg_pool,
    .vjp = [](const VjpArgs& v) -> Tensors {
      return {make(op::avg_pool_gradient, {v.output_gradients[0]},
                   with_shape(v.node.attr<PoolAttrs>(), v.inputs[0].shape()))};
    },
    .cost = [](const Node& node) -> Cost {
      return {window_flops<PoolAttrs>(node, node.outputs[0].shape), bytes_touched(node)};
    },
    .read_attrs = Attrs::read<PoolAttrs>};

const OpDef avg_pool_gradient_def = {
    .name = "avg_pool_gradient",
    .infer = infer_pool_gradient,
    .vjp = [](const VjpArgs& v) -> Tensors {
      return {make(op::avg_pool, {v.output_gradients[0]}, plain(v.node.attr<PoolGradientAttrs>()))};
    },
    .cost = [](const Node& node) -> Cost {
      return {window_flops<PoolGradientAttrs>(node, node.inputs[0].shape()), bytes_touched(node)};
    },
    .read_attrs = Attrs::read<PoolGradientAttrs>};

Tensor max_pool(const Tensor& x, const PoolOptions& options) {
  return make(op::max_pool, {x}, attrs_of(x, options));
}
Tensor avg_pool(const Tensor& x, const PoolOptions& options) {
  require_dtype(is_floating(x.dtype()), "avg_pool", x, "a floating dtype");
  PoolAttrs attrs = attrs_of(x, options);
  Tensor y = make(op::avg_pool, {x}, attrs);
  return options.ceil_mode && options.count_padding ? without_extra_padding(y, x, attrs) : y;
}
Tensor max_pool2d(const Tensor& x, int64_t kernel, int64_t stride, int64_t padding) {
  WAFER_REQUIRE(x.rank() == 4, "max_pool2d", "an input of ", x.shape(),
                "; expected [batch, channels, height, width]");
  return max_pool(
      x, {.kernel = {kernel}, .stride = {stride > 0 ? stride : kernel}, .padding = {padding}});
}
Tensor avg_pool2d(const Tensor& x, int64_t kernel, int64_t stride, int64_t padding) {
  WAFER_REQUIRE(x.rank() == 4, "avg_pool2d", "an input of ", x.shape(),
                "; expected [batch, channels, height, width]");
  return avg_pool(
      x, {.kernel = {kernel}, .stride = {stride > 0 ? stride : kernel}, .padding = {padding}});
}
Tensor adaptive_avg_pool(const Tensor& x, const std::vector<int64_t>& sizes) {
  return adaptive(x, sizes, avg_pool,
                  [](const Tensor& part, const Axes& axes) { return mean(part, axes, true); });
}
Tensor adaptive_max_pool(const Tensor& x, const std::vector<int64_t>& sizes) {
  return adaptive(x, sizes, max_pool, [](const Tensor& part, const Axes& axes) {
    return reduce_max(part, axes, true);
  });
}

}  // namespace wafer
