#include <algorithm>
#include <limits>
#include <numeric>

#include "wafer/deploy/onnx/rules.h"

// Parts of tensors, and tensors as parts of greater ones.
namespace wafer::onnx {

namespace {
Values slice_rule(Context& c) {
  Tensor x = c.in(0);
  int rank = x.rank();
  Ints starts, ends, axes, steps;
  if (c.version() < 10) {
    starts = c.integers("starts"), ends = c.integers("ends"), axes = c.integers("axes");
  } else {
    starts = c.integers_of(1), ends = c.integers_of(2);
    if (c.has(3)) axes = c.integers_of(3);
    if (c.has(4)) steps = c.integers_of(4);
  }
  if (axes.empty()) {
    axes.resize(starts.size());
    std::iota(axes.begin(), axes.end(), int64_t{0});
  }
  if (steps.empty()) steps.assign(starts.size(), 1);
  c.require(
      starts.size() == ends.size() && starts.size() == axes.size() && starts.size() == steps.size(),
      "starts, ends, axes and steps differ in length");
  axes = axes_of(c, axes, rank);
  for (size_t i = 0; i < axes.size(); ++i) {
    auto axis = static_cast<int>(axes[i]);
    int64_t size = x.size(axis), step = steps[i];
    c.require(step != 0 && step != std::numeric_limits<int64_t>::min(), "a step of 0");
    // As Python: bounds count from the end where negative, and are then limited to the tensor.
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    auto bound = [&](int64_t at) { return std::clamp(at < 0 ? at + size : at, low, high); };
    int64_t start = bound(starts[i]), end = bound(ends[i]);
    // An end before the first element can only be said by a number below -size.
    if (step > 0) {
      x = narrow(x, axis, start, std::max(start, end), std::min(step, std::max<int64_t>(size, 1)));
      continue;
    }
    int64_t count = start > end ? (start - end - 1) / -step + 1 : 0;
    if (count == 0) {
      x = narrow(x, axis, 0, 0);
      continue;
    }
    int64_t first = start + (count - 1) * step;
    x = flip(narrow(x, axis, first, start + 1, -step), {axis});
  }
  return {Value(x, c.type(0))};
}

// Where each element of a padded axis comes from; -1: from nowhere.
Ints padded_axis(const Context& c, int64_t size, int64_t low, int64_t high,
                 const std::string& mode) {
  Ints from;
  c.require(size + low + high >= 0, "more is cut off than there is");
  c.require(low <= int64_t{1} << 32 && high <= int64_t{1} << 32, "padding is too large");
  for (int64_t at = -low; at < size + high; ++at) {
    int64_t source = at;
    if (at < 0 || at >= size) {
      if (mode == "constant") source = -1;
      c.require(mode == "constant" || size > 0, "an empty dimension has no edge");
      if (mode == "edge") source = std::clamp<int64_t>(at, 0, size - 1);
      if (mode == "wrap") source = ((at % size) + size) % size;
      if (mode == "reflect") {
        int64_t period = std::max<int64_t>(2 * (size - 1), 1);
        source = ((at % period) + period) % period;
        if (source >= size) source = period - source;
      }
    }
    from.push_back(source);
  }
  return from;
}

Values pad_rule(Context& c) {
  Tensor x = c.in(0);
  std::string mode = c.text("mode", "constant");
  c.require(mode == "constant" || mode == "edge" || mode == "wrap" || mode == "reflect",
            "mode '" + mode + "'");
  Ints pads = c.version() < 2    ? c.integers("paddings")
              : c.version() < 11 ? c.integers("pads")
                                 : c.integers_of(1);
  Ints axes(static_cast<size_t>(x.rank()));
  std::iota(axes.begin(), axes.end(), int64_t{0});
  if (c.has(3)) axes = axes_of(c, c.integers_of(3), x.rank());
  c.require(pads.size() == 2 * axes.size(), "two numbers for each dimension are needed");
  Ints low(static_cast<size_t>(x.rank())), high(low);
  for (size_t i = 0; i < axes.size(); ++i) {
    low[static_cast<size_t>(axes[i])] = pads[i];
    high[static_cast<size_t>(axes[i])] = pads[i + axes.size()];
  }
  for (int64_t p : pads) c.require(std::abs(p) <= int64_t{1} << 40, "padding is too large");
  if (mode == "constant") {
    if (!c.has(2)) {
      double value = c.version() < 11 ? c.number("value", 0) : 0;
      if (x.dtype() == DType::boolean)
        return {cast(pad(cast(x, DType::u8), low, high, value), DType::boolean)};
      return {pad(x, low, high, value)};
    }
    // The number may be computed: padded places are where a mask of ones is padded by zeros.
    Tensor fill = reshape(c.in(2), Ints{});
    Tensor inside = cast(pad(ones(x.shape(), DType::u8), low, high, 0), DType::boolean);
    bool truth = x.dtype() == DType::boolean;
    Tensor padded = pad(truth ? cast(x, DType::u8) : x, low, high, 0);
    return {where(inside, cast(padded, x.dtype()), cast(fill, x.dtype()))};
  }
  for (int axis = 0; axis < x.rank(); ++axis) {
    auto i = static_cast<size_t>(axis);
    if (low[i] == 0 && high[i] == 0) continue;
    x = take(x, padded_axis(c, x.size(axis), low[i], high[i], mode), axis);
  }
  return {x};
}

Values center_crop_pad(Context& c) {
  Tensor x = c.in(0);
  Ints axes(static_cast<size_t>(x.rank())), wanted = c.integers_of(1);
  std::iota(axes.begin(), axes.end(), int64_t{0});
  axes = axes_of(c, c.integers("axes", axes), x.rank());
  c.require(wanted.size() == axes.size(), "a size for each axis is needed");
  for (size_t i = 0; i < axes.size(); ++i) {
    auto axis = static_cast<int>(axes[i]);
    int64_t size = x.size(axis), target = wanted[i];
    c.require(target >= 0, "a negative size");
    if (target < size) {
      int64_t first = (size - target) / 2;
      x = narrow(x, axis, first, first + target);
    } else if (target > size) {
      Ints low(static_cast<size_t>(x.rank())), high(low);
      low[static_cast<size_t>(axis)] = (target - size) / 2;
      high[static_cast<size_t>(axis)] = target - size - (target - size) / 2;
      x = pad(x, low, high);
    }
  }
  return {x};
}

Values trilu(Context& c) {
  const Tensor& x = c.in(0);
  int64_t k = c.has(1) ? c.scalar_integer(1) : 0;
  k = std::clamp<int64_t>(k, -(int64_t{1} << 40), int64_t{1} << 40);
  return {c.flag("upper", true) ? triu(x, k) : tril(x, k)};
}

// Of each sequence the first `length` elements, the other way round.
Values reverse_sequence(Context& c) {
  const Tensor& x = c.in(0);
  int batch = axis_of(c, c.integer("batch_axis", 1), x.rank());
  int time = axis_of(c, c.integer("time_axis", 0), x.rank());
  Ints sizes(static_cast<size_t>(x.rank()), 1);
  sizes[static_cast<size_t>(batch)] = x.size(batch);
  Tensor length = reshape(cast(c.in(1), DType::i64), sizes);
  Tensor at = iota(x.shape(), time);
  Tensor from = where(less(at, length), sub(sub(length, 1.0), at), at);
  return {gather_elements(x, from, time)};
}

constexpr RuleEntry slice_table[] = {
    {"CenterCropPad", center_crop_pad}, {"Pad", pad_rule}, {"ReverseSequence", reverse_sequence},
    {"Slice", slice_rule, true},        {"Trilu", trilu},
};
}  // namespace

RuleList slice_rules() {
  return slice_table;
}

}  // namespace wafer::onnx
