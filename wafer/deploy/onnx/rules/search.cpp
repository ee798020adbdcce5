#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "wafer/deploy/onnx/rules.h"

// Results whose sizes depend on what the inputs hold: found on the host, between compiled graphs.
namespace wafer::onnx {

namespace {
Values non_zero(Context& c) {
  auto numbers = c.numbers_of(0);
  Ints sizes = c.in(0).shape().sizes();
  std::vector<Ints> rows(sizes.size());
  int64_t count = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] == 0) continue;
    ++count;
    auto rest = static_cast<int64_t>(i);
    for (size_t d = sizes.size(); d-- > 0;) {
      rows[d].push_back(rest % sizes[d]);
      rest /= sizes[d];
    }
  }
  Ints all;
  for (const Ints& row : rows) all.insert(all.end(), row.begin(), row.end());
  return {Tensor::from_values(all, Shape{static_cast<int64_t>(sizes.size()), count})};
}

// The different slices along an axis (or elements), sorted or as they come.
Values unique(Context& c) {
  Tensor x = c.in(0);
  int axis = 0;
  bool whole = !c.given("axis");
  if (whole)
    x = reshape(x, {x.elements()});
  else
    axis = axis_of(c, c.integer("axis"), x.rank());
  Ints order = {axis};
  for (int d = 0; d < x.rank(); ++d)
    if (d != axis) order.push_back(d);
  auto numbers = c.numbers_of(transpose(x, order), "input 0");
  int64_t count = x.size(axis);
  size_t width = count > 0 ? numbers.size() / static_cast<size_t>(count) : 0;
  std::map<std::vector<double>, size_t> number_of;
  std::vector<std::vector<double>> found;
  Ints first, counts, inverse;
  for (int64_t i = 0; i < count; ++i) {
    auto at = numbers.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(i) * width);
    std::vector<double> slice(at, at + static_cast<std::ptrdiff_t>(width));
    auto [known, fresh] = number_of.emplace(slice, found.size());
    if (fresh) {
      found.push_back(slice);
      first.push_back(i);
      counts.push_back(0);
    }
    ++counts[known->second];
    inverse.push_back(static_cast<int64_t>(known->second));
  }
  std::vector<size_t> rank(found.size());
  std::iota(rank.begin(), rank.end(), size_t{0});
  if (c.flag("sorted", true))
    std::sort(rank.begin(), rank.end(), [&](size_t a, size_t b) { return found[a] < found[b]; });
  Ints position(found.size()), first_out, counts_out;
  for (size_t i = 0; i < rank.size(); ++i) {
    position[rank[i]] = static_cast<int64_t>(i);
    first_out.push_back(first[rank[i]]);
    counts_out.push_back(counts[rank[i]]);
  }
  for (int64_t& i : inverse) i = position[static_cast<size_t>(i)];
  return {take(x, first_out, axis), constant(first_out), constant(inverse), constant(counts_out)};
}

struct Box {
  double y1, x1, y2, x2;
  double area() const { return (y2 - y1) * (x2 - x1); }
};

double overlap(const Box& a, const Box& b) {
  double height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  double width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (height <= 0 || width <= 0) return 0;
  double shared = height * width;
  return shared / (a.area() + b.area() - shared);
}

// For each image and class the boxes of the highest scores, less those that overlap a better one.
Values non_max_suppression(Context& c) {
  auto numbers = c.numbers_of(0), scores = c.numbers_of(1);
  c.require(c.in(0).rank() == 3 && c.in(0).size(2) == 4 && c.in(1).rank() == 3 &&
                c.in(1).size(0) == c.in(0).size(0) && c.in(1).size(2) == c.in(0).size(1),
            "expected boxes [batch, boxes, 4] and scores [batch, classes, boxes]");
  int64_t batch = c.in(1).size(0), classes = c.in(1).size(1), count = c.in(1).size(2);
  int64_t most = c.has(2) ? c.scalar_integer(2) : 0;
  double limit = c.has(3) ? c.scalar_number(3) : 0;
  bool has_least = c.has(4);
  double least = has_least ? c.scalar_number(4) : 0;
  bool centre = c.integer("center_point_box", 0) == 1;
  Ints selected;
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<Box> boxes;
    for (int64_t i = 0; i < count; ++i) {
      const double* p = &numbers[static_cast<size_t>((b * count + i) * 4)];
      if (centre)
        boxes.push_back({p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2});
      else
        boxes.push_back({std::min(p[0], p[2]), std::min(p[1], p[3]), std::max(p[0], p[2]),
                         std::max(p[1], p[3])});
    }
    for (int64_t k = 0; k < classes; ++k) {
      const double* score = &scores[static_cast<size_t>((b * classes + k) * count)];
      std::vector<size_t> order;
      for (size_t i = 0; i < static_cast<size_t>(count); ++i)
        if (!has_least || score[i] > least) order.push_back(i);
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t i, size_t j) { return score[i] > score[j]; });
      std::vector<size_t> kept;
      for (size_t i : order) {
        if (static_cast<int64_t>(kept.size()) >= most) break;
        bool covered = std::any_of(kept.begin(), kept.end(),
                                   [&](size_t j) { return overlap(boxes[i], boxes[j]) > limit; });
        if (covered) continue;
        kept.push_back(i);
        selected.insert(selected.end(), {b, k, static_cast<int64_t>(i)});
      }
    }
  }
  return {Tensor::from_values(selected, Shape{static_cast<int64_t>(selected.size() / 3), 3})};
}

// Where one dimension of a region is sampled: two elements with their weights; both weights 0
// outside of the image.
struct LinearTap {
  int64_t low = 0, high = 0;
  double low_weight = 0, high_weight = 0;
};
LinearTap linear_tap(double at, int64_t size) {
  if (at < -1 || at > static_cast<double>(size)) return {};
  at = std::max(at, 0.0);
  auto low = static_cast<int64_t>(at);
  if (low >= size - 1) return {size - 1, size - 1, 1, 0};
  double rest = at - static_cast<double>(low);
  return {low, low + 1, 1 - rest, rest};
}

struct RoiOptions {
  int64_t height, width, ratio;
  double scale;
  bool half_pixel, maximum;
};

// One region [x1, y1, x2, y2] of an image [channels, height * width]: [channels, bins].
Tensor pool_region(const Context& c, const Tensor& image, int64_t image_height, int64_t image_width,
                   const double* roi, const RoiOptions& o) {
  double offset = o.half_pixel ? 0.5 : 0;
  double x = roi[0] * o.scale - offset, y = roi[1] * o.scale - offset;
  double width = roi[2] * o.scale - offset - x, height = roi[3] * o.scale - offset - y;
  if (!o.half_pixel) {
    width = std::max(width, 1.0);
    height = std::max(height, 1.0);
  }
  double bin_height = height / static_cast<double>(o.height);
  double bin_width = width / static_cast<double>(o.width);
  c.require(std::abs(bin_height) < 1e4 && std::abs(bin_width) < 1e4, "a region is too large");
  int64_t rows = o.ratio > 0 ? o.ratio : static_cast<int64_t>(std::ceil(bin_height));
  int64_t columns = o.ratio > 0 ? o.ratio : static_cast<int64_t>(std::ceil(bin_width));
  int64_t bins = o.height * o.width, samples = std::max<int64_t>(rows * columns, 0);
  if (samples == 0) return zeros(Shape{image.size(0), bins}, image.dtype());
  std::vector<Ints> index(4);
  std::vector<std::vector<double>> weight(4);
  for (int64_t bin = 0; bin < bins; ++bin)
    for (int64_t sample = 0; sample < samples; ++sample) {
      auto place = [](int64_t cell, int64_t step, int64_t steps) {
        return static_cast<double>(cell) +
               (static_cast<double>(step) + 0.5) / static_cast<double>(steps);
      };
      LinearTap v =
          linear_tap(y + bin_height * place(bin / o.width, sample / columns, rows), image_height);
      LinearTap h =
          linear_tap(x + bin_width * place(bin % o.width, sample % columns, columns), image_width);
      for (size_t k = 0; k < 4; ++k) {
        int64_t row = k < 2 ? v.low : v.high, column = k % 2 == 0 ? h.low : h.high;
        index[k].push_back(row * image_width + column);
        weight[k].push_back((k < 2 ? v.low_weight : v.high_weight) *
                            (k % 2 == 0 ? h.low_weight : h.high_weight));
      }
    }
  Tensor result;
  for (size_t k = 0; k < 4; ++k) {
    Tensor term = mul(take(image, index[k], 1), constant(weight[k], image.dtype()));
    // The standard's maximum is over the weighed elements.
    result = k == 0 ? term : o.maximum ? maximum(result, term) : add(result, term);
  }
  result = reshape(result, {image.size(0), bins, samples});
  return o.maximum ? reduce_max(result, {2}) : mean(result, {2});
}

Values roi_align(Context& c) {
  const Tensor& x = c.in(0);
  c.require(x.rank() == 4 && c.in(1).rank() == 2 && c.in(1).size(1) == 4 &&
                c.in(2).elements() == c.in(1).size(0),
            "expected [batch, channels, height, width], regions [n, 4] and n batch indices");
  RoiOptions o{c.integer("output_height", 1),
               c.integer("output_width", 1),
               c.integer("sampling_ratio", 0),
               c.number("spatial_scale", 1),
               false,
               false};
  std::string coordinates = c.text("coordinate_transformation_mode",
                                   c.version() < 16 ? "output_half_pixel" : "half_pixel");
  o.half_pixel = coordinates == "half_pixel";
  o.maximum = c.text("mode", "avg") == "max";
  c.require(o.height > 0 && o.width > 0 && o.height * o.width < 1 << 20 && o.ratio < 1 << 10,
            "sizes out of range");
  auto rois = c.numbers_of(1);
  Ints batches = c.integers_of(2);
  Ints out = {static_cast<int64_t>(batches.size()), x.size(1), o.height, o.width};
  if (batches.empty()) return {zeros(Shape(out), x.dtype())};
  std::vector<Tensor> parts;
  for (size_t i = 0; i < batches.size(); ++i) {
    c.require(batches[i] >= 0 && batches[i] < x.size(0), "a batch index out of range");
    Tensor image =
        reshape(narrow(x, 0, batches[i], batches[i] + 1), {x.size(1), x.size(2) * x.size(3)});
    parts.push_back(pool_region(c, image, x.size(2), x.size(3), &rois[4 * i], o));
  }
  return {reshape(stack(parts, 0), out)};
}

constexpr RuleEntry search_table[] = {
    {"NonMaxSuppression", non_max_suppression},
    {"NonZero", non_zero},
    {"RoiAlign", roi_align},
    {"Unique", unique},
};
}  // namespace

RuleList search_rules() {
  return search_table;
}

}  // namespace wafer::onnx
