#include <numeric>

#include "wafer/deploy/onnx/rules.h"

// Reading and writing where integer tensors point.
namespace wafer::onnx {

namespace {
// Indices as i64, those below 0 counted from the end.
Tensor wrapped(const Tensor& indices, int64_t size) {
  Tensor i = cast(indices, DType::i64);
  return where(less(i, 0.0), add(i, static_cast<double>(size)), i);
}

Values gather_rule(Context& c) {
  int rank = static_cast<int>(dims_of(c.value(0)).size());
  int axis = axis_of(c, c.integer("axis", 0), rank);
  if (c.value(0).strings) {
    const StringTensor& x = c.strings(0);
    c.require(rank == 1, "strings of more than one dimension");
    std::vector<std::string> out;
    for (int64_t i : c.integers_of(1)) {
      auto size = static_cast<int64_t>(x.values.size());
      c.require(i >= -size && i < size, "an index out of range");
      out.push_back(x.values[static_cast<size_t>(i < 0 ? i + size : i)]);
    }
    return {Value::of_strings(dims_of(c.value(1)), std::move(out))};
  }
  const Tensor& x = c.in(0);
  return {Value(gather(x, cast(c.in(1), DType::i64), axis), c.type(0))};
}

Values gather_elements_rule(Context& c) {
  const Tensor& x = c.in(0);
  int axis = axis_of(c, c.integer("axis", 0), x.rank());
  return {gather_elements(x, wrapped(c.in(1), x.size(axis)), axis)};
}

// Row numbers of x, whose first `depth` dimensions are flattened, for index tuples along the last
// dimension of `indices`.
Tensor flat_rows(const Tensor& indices, const Ints& sizes) {
  Tensor row;
  for (size_t i = 0; i < sizes.size(); ++i) {
    auto at = static_cast<int64_t>(i);
    Tensor one = squeeze(narrow(indices, -1, at, at + 1), -1);
    one = wrapped(one, sizes[i]);
    row = i == 0 ? one : add(mul(row, static_cast<double>(sizes[i])), one);
  }
  return row;
}

Values gather_nd(Context& c) {
  const Tensor &x = c.in(0), &indices = c.in(1);
  int64_t batch = c.integer("batch_dims", 0);
  Ints sizes = x.shape().sizes(), places = indices.shape().sizes();
  c.require(!places.empty() && batch >= 0 && batch < static_cast<int64_t>(places.size()),
            "batch_dims out of range");
  int64_t depth = places.back();
  c.require(depth >= 1 && batch + depth <= x.rank(), "index tuples are longer than the data");
  // Batch dimensions become part of the tuple.
  Tensor tuples = cast(indices, DType::i64);
  std::vector<Tensor> parts;
  Ints one = places;
  one.back() = 1;
  for (int64_t b = 0; b < batch; ++b) parts.push_back(iota(Shape(one), static_cast<int>(b)));
  parts.push_back(tuples);
  tuples = parts.size() == 1 ? tuples : concat(parts, -1);
  Ints lead(sizes.begin(), sizes.begin() + batch + depth);
  Ints rest(sizes.begin() + batch + depth, sizes.end());
  Ints flat = rest;
  flat.insert(flat.begin(), product(lead));
  return {gather(reshape(x, flat), flat_rows(tuples, lead), 0)};
}

// Elements of `kept` replaced by those of `updates` where the rows or elements are written, one
// write at a time where several may meet: a reduction over all pairs would be quadratic.
enum class Combine { set, add, multiply, maximum, minimum };

Combine combine_of(const Context& c) {
  std::string name = c.text("reduction", "none");
  if (name == "none") return Combine::set;
  if (name == "add") return Combine::add;
  if (name == "mul") return Combine::multiply;
  if (name == "max") return Combine::maximum;
  c.require(name == "min", "reduction '" + name + "'");
  return Combine::minimum;
}

Tensor combined(Combine how, const Tensor& a, const Tensor& b) {
  if (how == Combine::multiply) return mul(a, b);
  return how == Combine::maximum ? maximum(a, b) : minimum(a, b);
}

// Writes slices of the indices' axis one after another, so that each meets what the one before
// left.
Tensor scatter_in_turn(Tensor x, const Tensor& indices, const Tensor& updates, int axis,
                       Combine how) {
  for (int64_t i = 0; i < indices.size(axis); ++i) {
    Tensor at = narrow(indices, axis, i, i + 1), update = narrow(updates, axis, i, i + 1);
    Tensor old = gather_elements(x, at, axis);
    x = scatter_elements(x, at, combined(how, old, update), axis);
  }
  return x;
}

Values scatter_elements_rule(Context& c) {
  const Tensor& x = c.in(0);
  int axis = axis_of(c, c.integer("axis", 0), x.rank());
  Tensor indices = wrapped(c.in(1), x.size(axis));
  Combine how = combine_of(c);
  if (how == Combine::set || how == Combine::add)
    return {scatter_elements(x, indices, c.in(2), axis, how == Combine::add)};
  return {scatter_in_turn(x, indices, c.in(2), axis, how)};
}

Values scatter_nd(Context& c) {
  const Tensor &x = c.in(0), &indices = c.in(1), &updates = c.in(2);
  Ints sizes = x.shape().sizes(), places = indices.shape().sizes();
  c.require(!places.empty() && places.back() <= x.rank(), "index tuples are longer than the data");
  int64_t depth = places.back();
  Ints lead(sizes.begin(), sizes.begin() + depth), rest(sizes.begin() + depth, sizes.end());
  int64_t width = product(rest), count = product(Ints(places.begin(), places.end() - 1));
  Tensor rows = depth == 0 ? zeros(Shape{count}, DType::i64)
                           : reshape(flat_rows(cast(indices, DType::i64), lead), {count});
  Tensor data = reshape(x, {product(lead), width});
  Tensor values = reshape(updates, {count, width});
  Combine how = combine_of(c);
  if (how == Combine::add && is_floating(x.dtype()))
    return {reshape(scatter_add(data, rows, values, 0), sizes)};
  Tensor at = broadcast_to(reshape(rows, {count, 1}), Shape{count, width});
  if (how == Combine::set || how == Combine::add)
    return {reshape(scatter_elements(data, at, values, 0, how == Combine::add), sizes)};
  return {reshape(scatter_in_turn(data, at, values, 0, how), sizes)};
}

Values one_hot_rule(Context& c) {
  int64_t depth = static_cast<int64_t>(c.scalar_number(1));
  Tensor indices = cast(c.in(0), DType::i64), values = c.in(2);
  int axis = axis_of(c, c.integer("axis", -1), indices.rank() + 1);
  c.require(depth > 0 && values.shape() == Shape{2}, "depth must be positive, values two");
  Tensor at = unsqueeze(wrapped(indices, depth), axis);
  Ints sizes = indices.shape().sizes();
  sizes.insert(sizes.begin() + axis, depth);
  Tensor hit = equal(iota(Shape(sizes), axis), at);
  return {where(hit, reshape(narrow(values, 0, 1, 2), Ints{}),
                reshape(narrow(values, 0, 0, 1), Ints{}))};
}

Values top_k(Context& c) {
  const Tensor& x = c.in(0);
  int64_t k = c.version() < 10 ? c.integer("k") : c.scalar_integer(1);
  int axis = axis_of(c, c.integer("axis", -1), x.rank());
  auto found = topk(x, k, axis, c.flag("largest", true));
  return {found.values, found.indices};
}

// Rows at positions that a mask of truth values picks; the mask is read now.
Values compress(Context& c) {
  Tensor x = c.in(0);
  int axis = 0;
  if (c.given("axis"))
    axis = axis_of(c, c.integer("axis"), x.rank());
  else
    x = reshape(x, {x.elements()});
  Ints chosen, mask = c.integers_of(1);
  c.require(static_cast<int64_t>(mask.size()) <= x.size(axis), "the condition is too long");
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i]) chosen.push_back(static_cast<int64_t>(i));
  return {take(x, chosen, axis)};
}

// A key-value cache with new rows written at each batch's own position.
Values tensor_scatter(Context& c) {
  const Tensor &past = c.in(0), &update = c.in(1);
  int axis = axis_of(c, c.integer("axis", -2), past.rank());
  std::string mode = c.text("mode", "linear");
  c.require(mode == "linear" || mode == "circular", "mode '" + mode + "'");
  c.require(axis > 0 && past.rank() == update.rank(), "expected [batch, ..., length, ...] twice");
  Tensor at = iota(update.shape(), axis);
  if (c.has(2)) {
    Ints sizes(static_cast<size_t>(past.rank()), 1);
    sizes[0] = past.size(0);
    at = add(at, reshape(cast(c.in(2), DType::i64), sizes));
  }
  if (mode == "circular") at = remainder(at, Tensor(past.size(axis)));
  return {scatter_elements(past, at, update, axis)};
}

constexpr RuleEntry index_table[] = {
    {"Compress", compress},
    {"Gather", gather_rule, true},
    {"GatherElements", gather_elements_rule},
    {"GatherND", gather_nd},
    {"OneHot", one_hot_rule},
    {"Scatter", scatter_elements_rule},
    {"ScatterElements", scatter_elements_rule},
    {"ScatterND", scatter_nd},
    {"TensorScatter", tensor_scatter},
    {"TopK", top_k},
};
}  // namespace

RuleList index_rules() {
  return index_table;
}

}  // namespace wafer::onnx
