#include <algorithm>
#include <numeric>

#include "wafer/deploy/onnx/rules.h"

// Shapes: what a tensor's dimensions are called, in which order, and how many there are.
namespace wafer::onnx {

namespace {
// x under new sizes; of strings too.
Value reshaped(const Value& x, const Ints& sizes) {
  if (x.strings) return Value::of_strings(sizes, x.strings->values);
  return {reshape(x.tensor, sizes), x.type};
}

Values reshape_rule(Context& c) {
  Ints old = dims_of(c.value(0));
  Ints sizes = c.version() < 5 ? c.integers("shape") : c.integers_of(1);
  bool allow_zero = c.flag("allowzero");
  int64_t known = 1, unknown = -1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0 && !allow_zero) {
      c.require(i < old.size(), "a size of 0 copies a dimension that the input does not have");
      sizes[i] = old[i];
    }
    if (sizes[i] == -1) {
      c.require(unknown < 0, "two sizes of -1");
      unknown = static_cast<int64_t>(i);
    } else {
      bool fits = sizes[i] >= 0 && !__builtin_mul_overflow(known, sizes[i], &known);
      c.require(fits, str("a size of ", sizes[i]));
    }
  }
  int64_t count = product(old);
  if (unknown >= 0) {
    c.require(known > 0 && count % known == 0,
              str("no whole number of elements is left for -1 of ", Shape(old)));
    sizes[static_cast<size_t>(unknown)] = count / known;
    known = count;
  }
  c.require(known == count, str("from ", Shape(old), " to ", Shape(sizes)));
  return {reshaped(c.value(0), sizes)};
}

Values flatten_rule(Context& c) {
  Ints old = dims_of(c.value(0));
  int64_t axis = c.integer("axis", 1);
  auto rank = static_cast<int64_t>(old.size());
  if (axis < 0) axis += rank;
  c.require(axis >= 0 && axis <= rank, "axis out of range");
  Ints sizes = {1, 1};
  for (int64_t i = 0; i < rank; ++i) sizes[i < axis ? 0 : 1] *= old[static_cast<size_t>(i)];
  return {reshaped(c.value(0), sizes)};
}

Values squeeze_rule(Context& c) {
  Ints old = dims_of(c.value(0)), sizes;
  auto axes = c.integers_from("axes", 1);
  auto rank = static_cast<int>(old.size());
  Ints chosen = axes ? axes_of(c, *axes, rank) : Ints{};
  for (int i = 0; i < rank; ++i) {
    int64_t size = old[static_cast<size_t>(i)];
    bool drop = axes ? std::find(chosen.begin(), chosen.end(), i) != chosen.end() : size == 1;
    c.require(!drop || size == 1, str("dimension ", i, " of ", Shape(old), " is not 1"));
    if (!drop) sizes.push_back(size);
  }
  return {reshaped(c.value(0), sizes)};
}

Values unsqueeze_rule(Context& c) {
  Ints old = dims_of(c.value(0)), sizes;
  auto given = c.integers_from("axes", 1);
  if (!given) c.fail("'axes' is missing");
  auto rank = static_cast<int>(old.size() + given->size());
  c.require(rank <= 8, "more than 8 dimensions");
  Ints axes = axes_of(c, *given, rank);
  size_t next = 0;
  for (int i = 0; i < rank; ++i) {
    bool fresh = std::find(axes.begin(), axes.end(), i) != axes.end();
    sizes.push_back(fresh ? 1 : old[next++]);
  }
  return {reshaped(c.value(0), sizes)};
}

Values transpose_rule(Context& c) {
  int rank = c.in(0).rank();
  Ints order(static_cast<size_t>(rank));
  std::iota(order.rbegin(), order.rend(), int64_t{0});
  order = c.integers("perm", order);
  c.require(static_cast<int>(order.size()) == rank, "'perm' does not fit the input");
  return {Value(transpose(c.in(0), axes_of(c, order, rank)), c.type(0))};
}

Values identity(Context& c) {
  return {c.value(0)};
}

Values shape_rule(Context& c) {
  Ints dims = dims_of(c.value(0));
  auto rank = static_cast<int64_t>(dims.size());
  auto bound = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
  int64_t start = bound(c.integer("start", 0)), end = bound(c.integer("end", rank));
  end = std::max(start, end);
  return {constant(Ints(dims.begin() + start, dims.begin() + end))};
}

Values size_rule(Context& c) {
  return {Tensor(product(dims_of(c.value(0))))};
}

Values expand(Context& c) {
  const Tensor& x = c.in(0);
  Shape shape = broadcast_shapes(x.shape(), Shape(c.integers_of(1)), "Expand");
  return {Value(broadcast_to(x, shape), c.type(0))};
}

Values tile(Context& c) {
  const Tensor& x = c.in(0);
  Ints sizes = x.shape().sizes(), repeats;
  if (c.version() < 6) {
    repeats.assign(sizes.size(), 1);
    int axis = axis_of(c, c.scalar_integer(2), x.rank());
    repeats[static_cast<size_t>(axis)] = c.scalar_integer(1);
  } else {
    repeats = c.integers_of(1);
  }
  c.require(repeats.size() == sizes.size(), "as many repeats as dimensions are needed");
  Tensor y = x;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (repeats[i] == 1) continue;
    c.require(repeats[i] >= 0, "a negative number of repeats");
    // [before, 1, size, after] in as many copies, so that the graph's size is not the repeats'.
    Ints tiled = y.shape().sizes();
    auto at = tiled.begin() + static_cast<std::ptrdiff_t>(i);
    int64_t before = product({tiled.begin(), at}), after = product({at + 1, tiled.end()});
    bool fits = !__builtin_mul_overflow(sizes[i], repeats[i], &*at);
    c.require(fits, str(repeats[i], " repeats of ", sizes[i], " elements"));
    y = reshape(y, {before, 1, sizes[i], after});
    y = reshape(broadcast_to(y, {before, repeats[i], sizes[i], after}), tiled);
  }
  return {Value(y, c.type(0))};
}

Values concat_rule(Context& c) {
  std::vector<Tensor> parts;
  int axis =
      axis_of(c, c.integer("axis", c.version() < 4 ? std::optional<int64_t>(1) : std::nullopt),
              static_cast<int>(dims_of(c.value(0)).size()));
  for (size_t i = 0; i < c.inputs(); ++i) parts.push_back(c.in(i));
  return {Value(concat(parts, axis), c.type(0))};
}

Values split_rule(Context& c) {
  const Tensor& x = c.in(0);
  int axis = axis_of(c, c.integer("axis", 0), x.rank());
  auto sizes = c.integers_from("split", 1);
  int64_t total = x.size(axis);
  if (!sizes) {
    auto parts = c.integer("num_outputs", static_cast<int64_t>(c.outputs()));
    c.require(parts > 0, "no parts");
    int64_t each = (total + parts - 1) / parts;
    sizes = Ints();
    for (int64_t i = 0; i < parts; ++i)
      sizes->push_back(std::clamp<int64_t>(total - i * each, 0, each));
  }
  Values out;
  int64_t at = 0;
  for (int64_t size : *sizes) {
    c.require(size >= 0 && at + size <= total, "the parts do not add up to the dimension");
    out.emplace_back(narrow(x, axis, at, at + size), c.type(0));
    at += size;
  }
  c.require(at == total, "the parts do not add up to the dimension");
  return out;
}

Values depth_to_space(Context& c) {
  const Tensor& x = c.in(0);
  c.require(x.rank() == 4, "expected [batch, channels, height, width]");
  int64_t b = c.integer("blocksize"), n = x.size(0), h = x.size(2), w = x.size(3);
  c.require(b > 0 && x.size(1) % (b * b) == 0, "the block does not divide the channels");
  int64_t channels = x.size(1) / (b * b);
  if (c.text("mode", "DCR") == "DCR") {
    Tensor y = reshape(x, {n, b, b, channels, h, w});
    return {reshape(transpose(y, {0, 3, 4, 1, 5, 2}), {n, channels, h * b, w * b})};
  }
  Tensor y = reshape(x, {n, channels, b, b, h, w});
  return {reshape(transpose(y, {0, 1, 4, 2, 5, 3}), {n, channels, h * b, w * b})};
}

Values space_to_depth(Context& c) {
  const Tensor& x = c.in(0);
  c.require(x.rank() == 4, "expected [batch, channels, height, width]");
  int64_t b = c.integer("blocksize"), n = x.size(0), h = x.size(2), w = x.size(3);
  c.require(b > 0 && h % b == 0 && w % b == 0, "the block does not divide height and width");
  Tensor y = reshape(x, {n, x.size(1), h / b, b, w / b, b});
  return {reshape(transpose(y, {0, 3, 5, 1, 2, 4}), {n, x.size(1) * b * b, h / b, w / b})};
}

constexpr RuleEntry shape_table[] = {
    {"Concat", concat_rule, true},
    {"DepthToSpace", depth_to_space},
    {"Expand", expand, true},
    {"Flatten", flatten_rule, true},
    {"Identity", identity, true},
    {"Reshape", reshape_rule, true},
    {"Shape", shape_rule, true},
    {"Size", size_rule, true},
    {"SpaceToDepth", space_to_depth},
    {"Split", split_rule, true},
    {"Squeeze", squeeze_rule, true},
    {"Tile", tile, true},
    {"Transpose", transpose_rule, true},
    {"Unsqueeze", unsqueeze_rule, true},
};
}  // namespace

RuleList shape_rules() {
  return shape_table;
}

}  // namespace wafer::onnx
