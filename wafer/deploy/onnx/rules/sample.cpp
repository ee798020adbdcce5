#include <algorithm>
#include <cmath>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/window.h"
#include "wafer/op/matmul.h"

// Reading images at places between their elements.
namespace wafer::onnx {

namespace {
enum class Border { zeros, edge, reflect };

struct Sampling {
  std::string mode = "linear";  // nearest, linear or cubic
  Border border = Border::zeros;
  bool align_corners = false;
};

// p mirrored at low and high until it lies between.
Tensor reflected(const Tensor& p, double low, double high) {
  double range = high - low;
  if (range <= 0) return mul(p, 0.0);
  Tensor distance = abs(sub(p, low));
  Tensor turns = floor(div(distance, range));
  Tensor rest = sub(distance, mul(turns, range));
  Tensor odd = equal(remainder(turns, scalar(2, p.dtype())), 1.0);
  return where(odd, sub(high, rest), add(rest, low));
}

// Along one dimension: places as i64 within the image, and 1 or 0 where they are read or not.
struct Tap {
  Tensor index, weight;
};

Tap place(const Tensor& at, int64_t size, const Sampling& s) {
  auto last = static_cast<double>(size - 1);
  if (s.border == Border::reflect) {
    double low = s.align_corners ? 0 : -0.5, high = s.align_corners ? last : last + 0.5;
    return {cast(clamp(reflected(at, low, high), 0, last), DType::i64), {}};
  }
  Tensor inside =
      logical_and(less_equal(scalar(0, at.dtype()), at), less_equal(at, scalar(last, at.dtype())));
  Tensor weight = s.border == Border::zeros ? cast(inside, at.dtype()) : Tensor();
  return {cast(clamp(at, 0, last), DType::i64), weight};
}

// The cubic convolution's weight at a distance (Keys 1981, a = -0.75).
Tensor cubic(const Tensor& distance) {
  const double a = -0.75;
  Tensor x = abs(distance);
  Tensor near = add(mul(mul(sub(mul(x, a + 2), a + 3), x), x), 1.0);
  Tensor far = sub(mul(add(mul(sub(mul(x, a), 5 * a), x), 8 * a), x), 4 * a);
  return where(less_equal(x, scalar(1, x.dtype())), near, far);
}

// The taps of one dimension at positions p (in elements).
std::vector<Tap> taps_of(const Context& c, const Tensor& p, int64_t size, const Sampling& s) {
  std::vector<Tap> taps;
  auto with = [&](const Tensor& at, const Tensor& weight) {
    Tap tap = place(at, size, s);
    if (weight) tap.weight = tap.weight ? mul(tap.weight, weight) : weight;
    taps.push_back(tap);
  };
  if (s.mode == "nearest") {
    with(round(p), {});
    return taps;
  }
  c.require(s.mode == "linear" || s.mode == "cubic", "mode '" + s.mode + "'");
  Tensor first = floor(p), rest = sub(p, first);
  if (s.mode == "linear") {
    with(first, sub(1.0, rest));
    with(add(first, 1.0), rest);
    return taps;
  }
  for (int i = -1; i <= 2; ++i) with(add(first, static_cast<double>(i)), cubic(sub(rest, i)));
  return taps;
}

// x [batch, channels, spatial...] at positions [batch, points], one for each dimension, in
// elements: [batch, channels, points].
Tensor sample(const Context& c, const Tensor& x, const std::vector<Tensor>& positions,
              const Sampling& s) {
  int64_t batch = x.size(0), channels = x.size(1), points = positions[0].size(1), elements = 1;
  for (int d = 2; d < x.rank(); ++d) elements *= x.size(d);
  c.require(elements > 0, "an image without elements");
  Tensor flat = reshape(x, {batch, channels, elements}), sum;
  std::vector<Tap> partial = {{Tensor(), Tensor()}};
  for (size_t d = 0; d < positions.size(); ++d) {
    int64_t size = x.size(static_cast<int>(d) + 2);
    std::vector<Tap> next;
    auto taps = taps_of(c, positions[d], size, s);
    for (const Tap& before : partial) {
      for (const Tap& tap : taps) {
        Tap joined = tap;
        if (before.index)
          joined.index = add(mul(before.index, static_cast<double>(size)), tap.index);
        if (before.weight)
          joined.weight = tap.weight ? mul(before.weight, tap.weight) : before.weight;
        next.push_back(joined);
      }
    }
    partial = std::move(next);
  }
  for (const Tap& tap : partial) {
    Tensor index = broadcast_to(unsqueeze(tap.index, 1), Shape{batch, channels, points});
    Tensor value = gather_elements(flat, index, 2);
    if (tap.weight) value = mul(value, cast(unsqueeze(tap.weight, 1), x.dtype()));
    sum = sum ? add(sum, value) : value;
  }
  return sum;
}

Values grid_sample(Context& c) {
  const Tensor &x = c.in(0), &grid = c.in(1);
  int dims = x.rank() - 2;
  c.require(dims >= 1 && dims <= 3 && grid.rank() == x.rank() && grid.size(-1) == dims,
            "expected [batch, channels, spatial...] and [batch, spatial..., dimensions]");
  Sampling s;
  s.mode = c.text("mode", c.version() < 20 ? "bilinear" : "linear");
  if (s.mode == "bilinear") s.mode = "linear";
  if (s.mode == "bicubic") s.mode = "cubic";
  std::string padding = c.text("padding_mode", "zeros");
  c.require(padding == "zeros" || padding == "border" || padding == "reflection",
            "padding_mode '" + padding + "'");
  s.border = padding == "zeros"    ? Border::zeros
             : padding == "border" ? Border::edge
                                   : Border::reflect;
  s.align_corners = c.flag("align_corners");
  Ints sizes = grid.shape().sizes(), out = {x.size(0), x.size(1)};
  int64_t points = 1;
  for (size_t i = 1; i + 1 < sizes.size(); ++i) {
    points *= sizes[i];
    out.push_back(sizes[i]);
  }
  std::vector<Tensor> positions;
  for (int d = 0; d < dims; ++d) {
    // The last coordinate is that of the first dimension.
    Tensor n = reshape(narrow(grid, -1, dims - 1 - d, dims - d), {x.size(0), points});
    if (!is_floating(n.dtype()) || bits(n.dtype()) < 32) n = cast(n, DType::f32);
    auto size = static_cast<double>(x.size(d + 2));
    Tensor p = s.align_corners ? mul(mul(add(n, 1.0), 0.5), size - 1)
                               : mul(sub(mul(add(n, 1.0), size), 1.0), 0.5);
    if (s.mode == "nearest") p = round(p);
    // Positions beyond the border come back before they are weighed.
    if (s.border == Border::edge) {
      double low = s.align_corners ? 0 : -0.5;
      Tensor beyond = logical_or(less(p, low), greater(p, size - 1 - low));
      p = where(beyond, clamp(p, 0, size - 1), p);
    }
    if (s.border == Border::reflect) {
      double low = s.align_corners ? 0 : -0.5, high = size - 1 - low;
      Tensor beyond = logical_or(less(p, low), greater(p, high));
      p = where(beyond, reflected(p, low, high), p);
    }
    positions.push_back(p);
  }
  return {reshape(sample(c, x, positions, s), out)};
}

Values affine_grid(Context& c) {
  const Tensor& theta = c.in(0);
  Ints size = c.integers_of(1);
  auto dims = static_cast<int64_t>(size.size()) - 2;
  c.require(dims >= 2 && dims <= 3 && theta.rank() == 3 && theta.size(1) == dims &&
                theta.size(2) == dims + 1,
            "expected [batch, 2 or 3, 3 or 4] and a size of 4 or 5 numbers");
  bool align = c.flag("align_corners");
  Ints spatial(size.begin() + 2, size.end());
  std::vector<Tensor> coordinates;
  for (int64_t d = dims - 1; d >= 0; --d) {
    auto n = static_cast<double>(spatial[static_cast<size_t>(d)]);
    Tensor i = iota(Shape(spatial), static_cast<int>(d), theta.dtype());
    Tensor p =
        align ? sub(mul(i, n > 1 ? 2 / (n - 1) : 0.0), 1.0) : sub(mul(add(i, 0.5), 2 / n), 1.0);
    coordinates.push_back(reshape(p, {product(spatial)}));
  }
  coordinates.push_back(ones(Shape{product(spatial)}, theta.dtype()));
  Tensor base = stack(coordinates, 1);  // [points, dims + 1]
  Ints out = {theta.size(0)};
  out.insert(out.end(), spatial.begin(), spatial.end());
  out.push_back(dims);
  return {reshape(matmul(base, theta, false, true), out)};
}

// A convolution whose window reads at shifted places.
Values deform_conv(Context& c) {
  const Tensor &x = c.in(0), &weight = c.in(1), &offset = c.in(2);
  c.require(x.rank() == 4 && weight.rank() == 4 && offset.rank() == 4,
            "expected two spatial dimensions");
  Window w = read_window(c, {x.size(2), x.size(3)}, {weight.size(2), weight.size(3)});
  int64_t groups = c.integer("group", 1), shifts = c.integer("offset_group", 1);
  int64_t batch = x.size(0), channels = x.size(1), taps = w.kernel[0] * w.kernel[1];
  int64_t height = offset.size(2), width = offset.size(3), points = taps * height * width;
  c.require(shifts > 0 && channels % shifts == 0 && offset.size(1) == shifts * taps * 2 &&
                groups > 0 && weight.size(0) % groups == 0 && channels == weight.size(1) * groups,
            "groups or offsets do not fit");
  // [batch, group, taps, 2, height, width]
  Tensor shift = reshape(offset, {batch, shifts, taps, 2, height, width});
  Shape field{taps, height, width};
  Tensor tap = iota(field, 0);
  Tensor columns(w.kernel[1]);
  auto base = [&](size_t d, const Tensor& k) {
    Tensor at = mul(iota(field, static_cast<int>(d) + 1), Tensor(w.stride[d]));
    Tensor p = sub(add(at, mul(k, Tensor(w.dilation[d]))), Tensor(w.low[d]));
    return cast(p, x.dtype());
  };
  std::vector<Tensor> start = {base(0, floor_divide(tap, columns)),
                               base(1, remainder(tap, columns))};
  int64_t each = channels / shifts;
  std::vector<Tensor> parts;
  for (int64_t g = 0; g < shifts; ++g) {
    std::vector<Tensor> positions;
    for (int64_t d = 0; d < 2; ++d) {
      Tensor moved = squeeze(squeeze(narrow(narrow(shift, 1, g, g + 1), 3, d, d + 1), 3), 1);
      positions.push_back(reshape(add(moved, start[static_cast<size_t>(d)]), {batch, points}));
    }
    Tensor part = sample(c, narrow(x, 1, g * each, (g + 1) * each), positions, {});
    if (c.has(4)) {
      Tensor mask = narrow(c.in(4), 1, g * taps, (g + 1) * taps);
      part = mul(part, reshape(mask, {batch, 1, points}));
    }
    parts.push_back(reshape(part, {batch, each, taps, height * width}));
  }
  // For each group of channels one product: [out, in taps] [batch, in taps, points].
  Tensor columns_of = concat(parts, 1);
  std::vector<Tensor> outputs;
  int64_t in = channels / groups, out = weight.size(0) / groups;
  for (int64_t g = 0; g < groups; ++g) {
    Tensor rows =
        reshape(narrow(columns_of, 1, g * in, (g + 1) * in), {batch, in * taps, height * width});
    Tensor matrix = reshape(narrow(weight, 0, g * out, (g + 1) * out), {out, in * taps});
    outputs.push_back(matmul(matrix, rows));
  }
  Tensor y = reshape(concat(outputs, 1), {batch, weight.size(0), height, width});
  if (c.has(3)) y = add(y, reshape(c.in(3), {weight.size(0), 1, 1}));
  return {y};
}

// Blocks put back where they came from, added where they overlap.
Values col2im(Context& c) {
  const Tensor& x = c.in(0);
  Ints image = c.integers_of(1), block = c.integers_of(2);
  c.require(x.rank() == 3 && image.size() == block.size() && !image.empty(),
            "expected [batch, channels * block, blocks] and sizes of equal length");
  Window w = read_window(c, image, block);
  int64_t taps = product(block), blocks = 1, padded_elements = 1;
  c.require(taps > 0 && x.size(1) % taps == 0, "the block does not divide the channels");
  int64_t channels = x.size(1) / taps, batch = x.size(0);
  Ints counts, padded;
  for (size_t i = 0; i < image.size(); ++i) {
    padded.push_back(image[i] + w.low[i] + w.high[i]);
    counts.push_back((padded[i] - w.extent(i)) / w.stride[i] + 1);
    c.require(counts[i] > 0 && w.low[i] >= 0 && w.high[i] >= 0, "the block does not fit");
    blocks *= counts[i];
    padded_elements *= padded[i];
  }
  c.require(blocks == x.size(2), "the number of blocks does not fit the image");
  Ints index;  // of each tap of each block in the padded image
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t b = 0; b < blocks; ++b) {
      int64_t at = 0, tap = t, place = b, stride = 1;
      for (size_t i = image.size(); i-- > 0;) {
        at += ((place % counts[i]) * w.stride[i] + (tap % block[i]) * w.dilation[i]) * stride;
        tap /= block[i];
        place /= counts[i];
        stride *= padded[i];
      }
      index.push_back(at);
    }
  Tensor values = reshape(x, {batch * channels, taps * blocks});
  Tensor sums = scatter_add(zeros(Shape{batch * channels, padded_elements}, x.dtype()),
                            constant(index), values, 1);
  Ints out = {batch, channels}, low = {0, 0}, high = {0, 0};
  for (size_t i = 0; i < image.size(); ++i) {
    out.push_back(padded[i]);
    low.push_back(-w.low[i]);
    high.push_back(-w.high[i]);
  }
  return {pad(reshape(sums, out), low, high)};
}

constexpr RuleEntry sample_table[] = {
    {"AffineGrid", affine_grid},
    {"Col2Im", col2im},
    {"DeformConv", deform_conv},
    {"GridSample", grid_sample},
};
}  // namespace

RuleList sample_rules() {
  return sample_table;
}

}  // namespace wafer::onnx
