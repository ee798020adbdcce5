#include "wafer/op/pool.h"

#include <algorithm>
#include <limits>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/window.h"
#include "wafer/op/op.h"

namespace wafer::onnx {

namespace {
// The padding behind with what ceil_mode adds, so that a last window that starts inside the input
// or the padding before it is there.
Ints high_with_ceil(const Context& c, const Window& w, const Ints& sizes) {
  Ints high = w.high;
  for (size_t i = 0; i < w.dims() && c.flag("ceil_mode"); ++i) {
    int64_t room = sizes[i] + w.low[i] + w.high[i] - w.extent(i);
    int64_t outputs = (room + w.stride[i] - 1) / w.stride[i] + 1;
    if ((outputs - 1) * w.stride[i] >= sizes[i] + w.low[i]) --outputs;
    high[i] = std::max(high[i], (outputs - 1) * w.stride[i] + w.extent(i) - sizes[i] - w.low[i]);
  }
  return high;
}

struct Pooling {
  Window window;
  PoolAttrs attrs;
};
Pooling read_pooling(const Context& c, const Tensor& x) {
  c.require(x.rank() >= 3 && x.rank() <= 5,
            "expected [batch, channels, one to three spatial dimensions]");
  Window w = read_window(c, spatial_sizes(x.shape()));
  for (size_t i = 0; i < w.dims(); ++i)
    c.require(w.low[i] >= 0 && w.high[i] >= 0, "negative padding");
  return {w,
          {w.kernel, w.stride, w.low, high_with_ceil(c, w, spatial_sizes(x.shape())), w.dilation,
           true}};
}

// How many elements of each window along dimension i are in [first, last).
std::vector<double> counts(const Pooling& p, size_t i, int64_t outputs, int64_t first,
                           int64_t last) {
  std::vector<double> out;
  for (int64_t o = 0; o < outputs; ++o) {
    double count = 0;
    for (int64_t k = 0; k < p.window.kernel[i]; ++k) {
      int64_t at = o * p.window.stride[i] - p.window.low[i] + k * p.window.dilation[i];
      count += at >= first && at < last;
    }
    out.push_back(std::max(count, 1.0));
  }
  return out;
}

Values average_pool(Context& c) {
  const Tensor& x = c.in(0);
  Pooling p = read_pooling(c, x);
  bool with_padding = c.flag("count_include_pad");
  Tensor y = make(op::avg_pool, {x}, p.attrs);
  // The op divides by the whole window: give back the share of what does not count.
  for (size_t i = 0; i < p.window.dims(); ++i) {
    auto d = static_cast<int>(i) + 2;
    int64_t pad_low = with_padding ? p.window.low[i] : 0;
    int64_t pad_high = with_padding ? p.window.high[i] : 0;
    auto count = counts(p, i, y.size(d), -pad_low, x.size(d) + pad_high);
    auto whole = static_cast<double>(p.window.kernel[i]);
    if (std::all_of(count.begin(), count.end(), [&](double n) { return n == whole; })) continue;
    for (double& n : count) n = whole / n;
    Ints sizes(static_cast<size_t>(y.rank()), 1);
    sizes[i + 2] = y.size(d);
    y = mul(y, reshape(constant(count, y.dtype()), sizes));
  }
  return {y};
}

Values max_pool_rule(Context& c) {
  Tensor x = c.in(0);
  Pooling p = read_pooling(c, x);
  DType type = x.dtype();
  if (!is_floating(type)) x = cast(x, DType::f32);  // 8-bit integers
  c.require(is_floating(type) || bits(type) <= 16, "integers of more than 16 bits");
  auto pooled = make_node(op::max_pool, {x}, p.attrs);
  Values out = {cast(pooled[0], type)};
  if (!c.wants(1)) return out;
  // From the place within the window to the place in the whole tensor.
  Tensor place = cast(pooled[1], DType::i64);
  size_t dims = p.window.dims();
  bool column_major = c.integer("storage_order", 0) == 1;
  Tensor flat;
  int64_t stride = 1;
  std::vector<Tensor> at(dims);
  for (size_t i = dims; i-- > 0;) {
    Tensor kernel(p.window.kernel[i]);
    Tensor k = remainder(place, kernel);
    place = floor_divide(place, kernel);
    Tensor start =
        sub(mul(iota(place.shape(), static_cast<int>(i) + 2), Tensor(p.window.stride[i])),
            Tensor(p.window.low[i]));
    at[i] = add(start, mul(k, Tensor(p.window.dilation[i])));
  }
  for (size_t step = 0; step < dims; ++step) {
    size_t i = column_major ? step : dims - 1 - step;
    Tensor term = mul(at[i], Tensor(stride));
    flat = flat ? add(flat, term) : term;
    stride *= x.size(static_cast<int>(i) + 2);
  }
  Tensor channel = add(mul(iota(flat.shape(), 0), Tensor(x.size(1))), iota(flat.shape(), 1));
  out.emplace_back(add(flat, mul(channel, Tensor(stride))));
  return out;
}

Values lp_pool(Context& c) {
  const Tensor& x = c.in(0);
  Pooling p = read_pooling(c, x);
  double power = c.version() < 2 ? c.number("p", 2) : static_cast<double>(c.integer("p", 2));
  auto elements = static_cast<double>(product(p.window.kernel));
  Tensor sums = mul(make(op::avg_pool, {pow(abs(x), power)}, p.attrs), elements);
  return {pow(sums, 1 / power)};
}

Axes spatial_axes(const Tensor& x) {
  Axes axes;
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  return axes;
}
Values global_average_pool(Context& c) {
  return {mean(c.in(0), spatial_axes(c.in(0)), true)};
}
Values global_max_pool(Context& c) {
  return {reduce_max(c.in(0), spatial_axes(c.in(0)), true)};
}
Values global_lp_pool(Context& c) {
  double power = c.version() < 2 ? c.number("p", 2) : static_cast<double>(c.integer("p", 2));
  return {pow(reduce_sum(pow(abs(c.in(0)), power), spatial_axes(c.in(0)), true), 1 / power)};
}

// Each element back to where the pooling took it from, zeros elsewhere.
Values max_unpool(Context& c) {
  const Tensor &x = c.in(0), &indices = c.in(1);
  Ints sizes = x.shape().sizes(), small = sizes;
  Window w = read_window(c, spatial_sizes(x.shape()));
  for (size_t i = 0; i < w.dims(); ++i) {
    small[i + 2] = (sizes[i + 2] - 1) * w.stride[i] + w.kernel[i] - w.low[i] - w.high[i];
    c.require(small[i + 2] >= 0, "nothing is left of the output");
  }
  // Indices count in the size that the windows say; a greater output has room behind.
  Ints whole = c.has(2) ? c.integers_of(2) : small;
  c.require(whole.size() == small.size(), "output_shape has the wrong length");
  Tensor flat = zeros(Shape{product(whole)}, x.dtype());
  Tensor at = reshape(cast(indices, DType::i64), {x.elements()});
  if (whole != small) {
    Tensor moved, rest = at;
    int64_t stride = 1;
    for (size_t i = small.size(); i-- > 0;) {
      Tensor size(small[i]);
      Tensor term = mul(remainder(rest, size), Tensor(stride));
      moved = moved ? add(moved, term) : term;
      rest = floor_divide(rest, size);
      stride *= whole[i];
    }
    at = moved;
  }
  Tensor y = scatter_elements(flat, at, reshape(x, {x.elements()}), 0);
  return {reshape(y, whole)};
}

// The elements of a dimension that each bin of each region covers.
struct Bins {
  Tensor covered;  // [regions, bins, extent], truth values
  Tensor empty;    // [regions, bins]
};
// From the regions' first and last elements, [regions], which are whole numbers.
Bins region_bins(const Tensor& first, const Tensor& last, int64_t bins, int64_t extent) {
  auto limit = static_cast<double>(extent);
  Tensor start = unsqueeze(first, 1);
  Tensor size = div(maximum(add(sub(unsqueeze(last, 1), start), Tensor(1.0)), 1.0),
                    Tensor(static_cast<double>(bins)));
  Tensor bin = cast(arange(bins), DType::f32), at = cast(arange(extent), DType::f32);
  Tensor low = clamp(add(floor(mul(bin, size)), start), 0, limit);
  Tensor high = clamp(add(ceil(mul(add(bin, Tensor(1.0)), size)), start), 0, limit);
  return {logical_and(greater_equal(at, unsqueeze(low, 2)), less(at, unsqueeze(high, 2))),
          less_equal(high, low)};
}

// Regions [n, 5]: the image's index, then x and y of the first and of the last corner. Corners are
// rounded, halves away from zero, and belong to the region; a bin without elements gives 0.
Values max_roi_pool(Context& c) {
  const Tensor &x = c.in(0), &regions = c.in(1);
  c.require(x.rank() == 4 && regions.rank() == 2 && regions.size(1) == 5,
            "expected [batch, channels, height, width] and regions [n, 5]");
  Ints pooled = c.integers("pooled_shape");
  c.require(pooled.size() == 2 && pooled[0] > 0 && pooled[1] > 0 && pooled[0] < 1 << 12 &&
                pooled[1] < 1 << 12,
            "expected a pooled_shape of two sizes");
  int64_t count = regions.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  Ints out = {count, channels, pooled[0], pooled[1]};
  if (product(out) == 0 || product(x.shape().sizes()) == 0) return {zeros(Shape(out), x.dtype())};
  Tensor numbers = cast(regions, DType::f32);
  auto column = [&](int64_t i) { return squeeze(narrow(numbers, 1, i, i + 1), 1); };
  auto corner = [&](int64_t i) {
    Tensor at = mul(column(i), Tensor(c.number("spatial_scale", 1)));
    return mul(sign(at), floor(add(abs(at), Tensor(0.5))));
  };
  Bins across = region_bins(corner(1), corner(3), pooled[1], width);
  Bins down = region_bins(corner(2), corner(4), pooled[0], height);
  Tensor images = gather(x, cast(column(0), DType::i64));  // [n, channels, height, width]
  Tensor least = scalar(-std::numeric_limits<double>::infinity(), x.dtype());
  // Along the rows, then down them: [n, channels, height, bins], [n, channels, bins, bins].
  Tensor rows = reduce_max(
      where(reshape(across.covered, {count, 1, 1, pooled[1], width}), unsqueeze(images, 3), least),
      {4});
  Tensor y = reduce_max(where(reshape(down.covered, {count, 1, pooled[0], 1, height}),
                              unsqueeze(transpose(rows, {0, 1, 3, 2}), 2), least),
                        {4});
  Tensor empty = logical_or(reshape(down.empty, {count, 1, pooled[0], 1}),
                            reshape(across.empty, {count, 1, 1, pooled[1]}));
  return {where(empty, scalar(0, x.dtype()), y)};
}

constexpr RuleEntry pool_table[] = {
    {"AveragePool", average_pool},
    {"GlobalAveragePool", global_average_pool},
    {"GlobalLpPool", global_lp_pool},
    {"GlobalMaxPool", global_max_pool},
    {"LpPool", lp_pool},
    {"MaxPool", max_pool_rule},
    {"MaxRoiPool", max_roi_pool},
    {"MaxUnpool", max_unpool},
};
}  // namespace

RuleList pool_rules() {
  return pool_table;
}

}  // namespace wafer::onnx
