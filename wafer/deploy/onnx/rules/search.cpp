#include <algorithm>
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
  int64_t most = c.has(2) ? c.integers_of(2).at(0) : 0;
  double limit = c.has(3) ? c.numbers_of(3).at(0) : 0;
  bool has_least = c.has(4);
  double least = has_least ? c.numbers_of(4).at(0) : 0;
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

constexpr RuleEntry rules[] = {
    {"NonMaxSuppression", non_max_suppression},
    {"NonZero", non_zero},
    {"Unique", unique},
};
}  // namespace

RuleList search_rules() {
  return rules;
}

}  // namespace wafer::onnx
