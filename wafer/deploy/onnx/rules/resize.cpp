#include <algorithm>
#include <cmath>
#include <numeric>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"

namespace wafer::onnx {

namespace {
// How one axis is resized: for output o the elements at index[k][o], weighed by weight[k][o].
struct AxisPlan {
  std::vector<Ints> index;
  std::vector<std::vector<double>> weight;  // empty: one tap of weight 1
  std::vector<bool> outside;                // outputs that get the extrapolation value
};

struct ResizeOptions {
  std::string mode, coordinates, nearest;
  double cubic_a = -0.75;
  bool exclude_outside = false, antialias = false;
};

double source_of(const Context& c, const ResizeOptions& o, int64_t at, int64_t in, int64_t out,
                 double scale, double roi_start, double roi_end) {
  auto x = static_cast<double>(at), size = static_cast<double>(in);
  double length = scale * size;  // not rounded
  const std::string& mode = o.coordinates;
  if (mode == "asymmetric") return x / scale;
  if (mode == "align_corners") return length == 1 ? 0 : x * (size - 1) / (length - 1);
  if (mode == "half_pixel") return (x + 0.5) / scale - 0.5;
  if (mode == "pytorch_half_pixel") return length == 1 ? -0.5 : (x + 0.5) / scale - 0.5;
  if (mode == "half_pixel_symmetric") {
    double adjustment = static_cast<double>(out) / length;
    return size / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5;
  }
  if (mode == "tf_half_pixel_for_nn") return (x + 0.5) / scale;
  c.require(mode == "tf_crop_and_resize", "coordinate_transformation_mode '" + mode + "'");
  double first = roi_start * (size - 1);
  if (length == 1) return first + (roi_end - roi_start) * (size - 1) / 2;
  return first + x * (roi_end - roi_start) * (size - 1) / (length - 1);
}

int64_t nearest_of(const Context& c, const std::string& mode, double x) {
  if (mode == "round_prefer_floor") return static_cast<int64_t>(std::ceil(x - 0.5));
  if (mode == "round_prefer_ceil") return static_cast<int64_t>(std::floor(x + 0.5));
  if (mode == "floor") return static_cast<int64_t>(std::floor(x));
  c.require(mode == "ceil", "nearest_mode '" + mode + "'");
  return static_cast<int64_t>(std::ceil(x));
}

double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// The elements that an output at source position x is made of, the first one's index and weights;
// with antialias the kernel is as wide as the distance of outputs.
std::pair<int64_t, std::vector<double>> taps(const ResizeOptions& o, double x, double scale) {
  double reach = o.mode == "cubic" ? 2 : 1;
  double stretch = o.antialias ? std::min(scale, 1.0) : 1.0;
  // An element on the position itself counts as the one left of it.
  auto left = static_cast<int64_t>(std::ceil(x)) - 1;
  double ratio = x - static_cast<double>(left);
  auto first = static_cast<int64_t>(std::floor(-reach / stretch)) + 1;
  int64_t last = 1 - first;  // as many to the right
  std::vector<double> weights;
  double sum = 0;
  for (int64_t i = first; i <= last; ++i) {
    double distance = (static_cast<double>(i) - ratio) * stretch;
    weights.push_back(o.mode == "cubic" ? cubic(distance, o.cubic_a)
                                        : std::max(1 - std::abs(distance), 0.0));
    sum += weights.back();
  }
  for (double& w : weights) w /= sum;
  return {left + first, weights};
}

AxisPlan plan_axis(const Context& c, const ResizeOptions& o, int64_t in, int64_t out, double scale,
                   double roi_start, double roi_end) {
  AxisPlan plan;
  c.require(in > 0, "an empty dimension cannot be resized");
  c.require(out <= Walk::most_host_elements,
            str("a size of ", out, "; expected at most ", Walk::most_host_elements));
  for (int64_t at = 0; at < out; ++at) {
    double x = source_of(c, o, at, in, out, scale, roi_start, roi_end);
    plan.outside.push_back(o.coordinates == "tf_crop_and_resize" &&
                           (x < 0 || x > static_cast<double>(in - 1)));
    if (o.mode == "nearest") {
      plan.index.resize(1);
      plan.index[0].push_back(std::clamp<int64_t>(nearest_of(c, o.nearest, x), 0, in - 1));
      continue;
    }
    auto [first, weights] = taps(o, x, scale);
    plan.index.resize(weights.size());
    plan.weight.resize(weights.size());
    double kept = 0;
    for (size_t k = 0; k < weights.size(); ++k) {
      int64_t index = first + static_cast<int64_t>(k);
      if (o.exclude_outside && (index < 0 || index >= in)) weights[k] = 0;
      kept += weights[k];
      plan.index[k].push_back(std::clamp<int64_t>(index, 0, in - 1));
    }
    for (size_t k = 0; k < weights.size(); ++k)
      plan.weight[k].push_back(o.exclude_outside ? weights[k] / kept : weights[k]);
  }
  return plan;
}

Tensor resize_axis(const Tensor& x, int axis, const AxisPlan& plan) {
  if (plan.weight.empty()) return take(x, plan.index[0], axis);
  Ints sizes(static_cast<size_t>(x.rank()), 1);
  sizes[static_cast<size_t>(axis)] = static_cast<int64_t>(plan.index[0].size());
  Tensor sum;
  for (size_t k = 0; k < plan.index.size(); ++k) {
    Tensor weight = reshape(constant(plan.weight[k], x.dtype()), sizes);
    Tensor term = mul(take(x, plan.index[k], axis), weight);
    sum = k == 0 ? term : add(sum, term);
  }
  return sum;
}

struct Target {
  Ints axes, sizes;            // sizes of the axes
  std::vector<double> scales;  // of the axes
};

Target target_of(const Context& c, const Tensor& x, size_t scales_input, size_t sizes_input) {
  Target t;
  t.axes.resize(static_cast<size_t>(x.rank()));
  std::iota(t.axes.begin(), t.axes.end(), int64_t{0});
  if (c.given("axes")) t.axes = axes_of(c, c.integers("axes"), x.rank());
  auto in_size = [&](size_t i) { return x.size(static_cast<int>(t.axes[i])); };
  bool by_scales = c.has(scales_input) && c.in(scales_input).elements() > 0;
  if (by_scales || c.given("scales")) {
    t.scales = by_scales ? c.numbers_of(scales_input) : c.numbers("scales");
    c.require(t.scales.size() == t.axes.size(), "a scale for each axis is needed");
    for (size_t i = 0; i < t.axes.size(); ++i) {
      c.require(t.scales[i] > 0, "a scale that is not positive");
      t.sizes.push_back(
          static_cast<int64_t>(std::floor(static_cast<double>(in_size(i)) * t.scales[i])));
    }
  } else {
    t.sizes = c.integers_of(sizes_input);
    c.require(t.sizes.size() == t.axes.size(), "a size for each axis is needed");
    for (size_t i = 0; i < t.axes.size(); ++i) {
      c.require(in_size(i) > 0, "an empty dimension cannot be resized");
      t.scales.push_back(static_cast<double>(t.sizes[i]) / static_cast<double>(in_size(i)));
    }
    std::string policy = c.text("keep_aspect_ratio_policy", "stretch");
    if (policy != "stretch" && !t.scales.empty()) {
      c.require(policy == "not_larger" || policy == "not_smaller", "policy '" + policy + "'");
      auto [least, most] = std::minmax_element(t.scales.begin(), t.scales.end());
      double scale = policy == "not_larger" ? *least : *most;
      for (size_t i = 0; i < t.axes.size(); ++i) {
        t.scales[i] = scale;
        t.sizes[i] =
            static_cast<int64_t>(std::floor(scale * static_cast<double>(in_size(i)) + 0.5));
      }
    }
  }
  for (int64_t size : t.sizes) c.require(size >= 0 && size < int64_t{1} << 31, "a size too large");
  return t;
}

Values resize_with(Context& c, const ResizeOptions& options, const Target& target,
                   const std::vector<double>& roi) {
  Tensor x = c.in(0);
  DType type = x.dtype();
  bool whole = options.mode != "nearest" && !is_floating(type);
  if (whole) x = cast(x, DType::f32);
  double extrapolation = c.number("extrapolation_value", 0);
  for (size_t i = 0; i < target.axes.size(); ++i) {
    auto axis = static_cast<int>(target.axes[i]);
    bool cropped = options.coordinates == "tf_crop_and_resize";
    if (target.sizes[i] == x.size(axis) && target.scales[i] == 1 && !cropped) continue;
    double start = 0, end = 1;
    if (cropped) {
      c.require(roi.size() == 2 * target.axes.size(), "roi has the wrong length");
      start = roi[i];
      end = roi[i + target.axes.size()];
    }
    AxisPlan plan =
        plan_axis(c, options, x.size(axis), target.sizes[i], target.scales[i], start, end);
    if (target.sizes[i] == 0) {
      x = narrow(x, axis, 0, 0);
      continue;
    }
    x = resize_axis(x, axis, plan);
    if (std::find(plan.outside.begin(), plan.outside.end(), true) == plan.outside.end()) continue;
    Ints sizes(static_cast<size_t>(x.rank()), 1);
    sizes[static_cast<size_t>(axis)] = target.sizes[i];
    Tensor outside = Tensor::from_values(plan.outside, Shape(sizes));
    x = where(outside, scalar(extrapolation, x.dtype()), x);
  }
  return {whole ? cast(round(x), type) : x};
}

Values resize(Context& c) {
  ResizeOptions o;
  bool old = c.version() < 11;  // X, scales
  o.mode = c.text("mode", "nearest");
  if (o.mode == "bilinear") o.mode = "linear";
  c.require(o.mode == "nearest" || o.mode == "linear" || o.mode == "cubic",
            "mode '" + o.mode + "'");
  o.coordinates = c.text("coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
  o.nearest = c.text("nearest_mode", old ? "floor" : "round_prefer_floor");
  o.cubic_a = c.number("cubic_coeff_a", -0.75);
  o.exclude_outside = c.flag("exclude_outside");
  o.antialias = c.flag("antialias");
  std::vector<double> roi;
  if (!old && c.has(1) && o.coordinates == "tf_crop_and_resize") roi = c.numbers_of(1);
  return resize_with(c, o, target_of(c, c.in(0), old ? 1 : 2, 3), roi);
}

Values upsample(Context& c) {
  ResizeOptions o;
  o.mode = c.text("mode", "nearest");
  if (o.mode == "bilinear") o.mode = "linear";
  c.require(o.mode == "nearest" || o.mode == "linear", "mode '" + o.mode + "'");
  c.require(!c.given("height_scale"), "version 1 is not supported");
  o.coordinates = "asymmetric";
  o.nearest = "floor";
  return resize_with(c, o, target_of(c, c.in(0), 1, 9), {});
}

constexpr RuleEntry resize_table[] = {{"Resize", resize}, {"Upsample", upsample}};
}  // namespace

RuleList resize_rules() {
  return resize_table;
}

}  // namespace wafer::onnx
