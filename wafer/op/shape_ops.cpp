#include "wafer/op/shape_ops.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;
constexpr int64_t to_the_end = std::numeric_limits<int64_t>::max();

// Moves bytes, computes nothing.
Cost move_cost(const Node& node) {
  return {0, bytes_touched(node)};
}
Cost free_cost(const Node&) {
  return {};
}

std::vector<Type> infer_reshape(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  const Shape& shape = args.attrs.as<ShapeAttrs>().shape;
  if (x.shape().is_static() && shape.is_static() && x.elements() != shape.elements()) {
    throw UserError("reshape", "the number of elements changes",
                    {.got = str(x.shape(), " (", x.elements(), " elements)"),
                     .expected = str(shape, " (", shape.elements(), " elements)")});
  }
  return {Type{x.dtype(), shape}};
}

std::vector<Type> infer_transpose(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  const auto& permutation = args.attrs.as<TransposeAttrs>().permutation;
  std::vector<Dim> dims;
  std::vector<bool> seen(static_cast<size_t>(x.rank()));
  WAFER_REQUIRE(static_cast<int>(permutation.size()) == x.rank(), "transpose", "a permutation of ",
                permutation.size(), " dimensions for ", x.shape());
  for (int64_t axis : permutation) {
    WAFER_REQUIRE(axis >= 0 && axis < x.rank() && !seen[static_cast<size_t>(axis)], "transpose",
                  "not a permutation: ", attr_text(permutation));
    seen[static_cast<size_t>(axis)] = true;
    dims.push_back(x.shape()[static_cast<int>(axis)]);
  }
  return {Type{x.dtype(), Shape(std::move(dims))}};
}

std::vector<Type> infer_broadcast(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  const Shape& shape = args.attrs.as<ShapeAttrs>().shape;
  if (!(broadcast_shapes(x.shape(), shape, "broadcast_to") == shape)) {
    throw UserError("broadcast_to", str("cannot broadcast ", x.shape(), " to ", shape));
  }
  return {Type{x.dtype(), shape}};
}

std::vector<Type> infer_slice(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  const auto& attrs = args.attrs.as<SliceAttrs>();
  auto rank = static_cast<size_t>(x.rank());
  WAFER_REQUIRE(attrs.start.size() == rank && attrs.end.size() == rank && attrs.step.size() == rank,
                "slice", "one start, end and step for each of the ", rank,
                " dimensions are needed");
  std::vector<Dim> dims;
  for (size_t i = 0; i < rank; ++i) {
    const Dim& dim = x.shape().dims()[i];
    bool whole = attrs.start[i] == 0 && attrs.end[i] == to_the_end && attrs.step[i] == 1;
    if (whole) {
      dims.push_back(dim);
      continue;
    }
    int64_t end = attrs.end[i] == to_the_end ? dim.value() : attrs.end[i];
    bool fits = attrs.step[i] > 0 && attrs.start[i] >= 0 && attrs.start[i] <= end &&
                (!dim.is_static() || end <= dim.value());
    WAFER_REQUIRE(fits, "slice", "elements ", attrs.start[i], " to ", end, " by ", attrs.step[i],
                  " of dimension ", i, " of ", x.shape());
    dims.emplace_back((end - attrs.start[i] + attrs.step[i] - 1) / attrs.step[i]);
  }
  return {Type{x.dtype(), Shape(std::move(dims))}};
}

std::vector<Type> infer_pad(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  const auto& attrs = args.attrs.as<PadAttrs>();
  auto rank = static_cast<size_t>(x.rank());
  WAFER_REQUIRE(
      attrs.low.size() == rank && attrs.high.size() == rank && attrs.interior.size() == rank, "pad",
      "one low, high and interior amount for each of the ", rank, " dimensions are needed");
  std::vector<Dim> dims;
  for (size_t i = 0; i < rank; ++i) {
    Dim dim = x.shape().dims()[i];
    WAFER_REQUIRE(attrs.interior[i] >= 0, "pad", "interior padding is negative");
    if (attrs.interior[i] > 0 && !(dim == Dim(0))) {
      dim = dim * Dim(attrs.interior[i] + 1) - Dim(attrs.interior[i]);
    }
    dim = dim + Dim(attrs.low[i] + attrs.high[i]);
    WAFER_REQUIRE(!dim.is_static() || dim.value() >= 0, "pad", "padding of dimension ", i, " of ",
                  x.shape(), " cuts off more than there is");
    dims.push_back(dim);
  }
  return {Type{x.dtype(), Shape(std::move(dims))}};
}

std::vector<Type> infer_concat(const InferArgs& args) {
  WAFER_REQUIRE(!args.inputs.empty(), "concat", "needs at least one tensor");
  const Tensor& first = args.inputs[0];
  int axis = normalise_axis(args.attrs.as<AxisAttrs>().axis, first.rank(), "concat");
  Shape shape = first.shape();
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    const Tensor& part = args.inputs[i];
    bool fits = part.rank() == first.rank() && part.dtype() == first.dtype();
    for (int d = 0; fits && d < first.rank(); ++d)
      fits = d == axis || part.shape()[d] == first.shape()[d];
    if (!fits) {
      throw UserError("concat", str("part ", i, " does not fit"),
                      {.got = str(first.type(), " and ", part.type()),
                       .expected = str("equal shapes but for dimension ", axis)});
    }
    shape.set(axis, shape[axis] + part.shape()[axis]);
  }
  return {Type{first.dtype(), shape}};
}

void require_start(const char* op, const Tensor& start, int rank) {
  if (!(start.dtype() == DType::i64 && start.shape() == Shape{rank})) {
    throw UserError(op, "wrong start",
                    {.got = str(start.type()), .expected = str("i64[", rank, "]")});
  }
}

std::vector<Type> infer_dynamic_slice(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  const auto& sizes = args.attrs.as<DynamicSliceAttrs>().sizes;
  require_start("dynamic_slice", args.inputs[1], x.rank());
  bool fits = static_cast<int>(sizes.size()) == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) {
    const Dim& dim = x.shape()[i];
    fits = sizes[static_cast<size_t>(i)] >= 0 &&
           (!dim.is_static() || sizes[static_cast<size_t>(i)] <= dim.value());
  }
  WAFER_REQUIRE(fits, "dynamic_slice", "a block of ", attr_text(sizes), " does not fit into ",
                x.shape());
  return {Type{x.dtype(), Shape(sizes)}};
}

std::vector<Type> infer_dynamic_update_slice(const InferArgs& args) {
  const Tensor &x = args.inputs[0], &update = args.inputs[1];
  require_start("dynamic_update_slice", args.inputs[2], x.rank());
  bool fits = update.rank() == x.rank() && update.dtype() == x.dtype();
  for (int i = 0; fits && i < x.rank(); ++i) fits = update.size(i) <= x.size(i);
  WAFER_REQUIRE(fits, "dynamic_update_slice", "a block of ", update.type(), " does not fit into ",
                x.type());
  return {x.type()};
}

std::vector<Type> infer_flip(const InferArgs& args) {
  for (int64_t axis : args.attrs.as<AxesAttrs>().axes)
    normalise_axis(axis, args.inputs[0].rank(), "flip");
  return {Type{args.inputs[0].dtype(), args.inputs[0].shape()}};
}

// Sums g over the dimensions that a broadcast from `shape` added or widened.
Tensor sum_to(const Tensor& g, const Shape& shape) {
  std::vector<int64_t> axes;
  int added = g.rank() - shape.rank();
  for (int i = 0; i < g.rank(); ++i) {
    if (i < added || (shape[i - added] == Dim(1) && !(g.shape()[i] == Dim(1)))) axes.push_back(i);
  }
  return reshape(axes.empty() ? g : reduce_sum(g, axes), shape);
}

std::vector<int64_t> zeros(const Tensor& x) {
  return std::vector<int64_t>(static_cast<size_t>(x.rank()));
}
}  // namespace

const OpDef reshape_def = {.name = "reshape",
                           .infer = infer_reshape,
                           .vjp = [](const VjpArgs& v) -> Tensors {
                             return {reshape(v.output_gradients[0], v.inputs[0].shape())};
                           },
                           .cost = free_cost,
                           .read_attrs = Attrs::read<ShapeAttrs>};

const OpDef transpose_def = {.name = "transpose",
                             .infer = infer_transpose,
                             .vjp = [](const VjpArgs& v) -> Tensors {
                               const auto& permutation = v.node.attr<TransposeAttrs>().permutation;
                               std::vector<int64_t> inverse(permutation.size());
                               for (size_t i = 0; i < permutation.size(); ++i) {
                                 inverse[static_cast<size_t>(permutation[i])] =
                                     static_cast<int64_t>(i);
                               }
                               return {transpose(v.output_gradients[0], inverse)};
                             },
                             .cost = move_cost,
                             .read_attrs = Attrs::read<TransposeAttrs>};

const OpDef broadcast_to_def = {.name = "broadcast_to",
                                .infer = infer_broadcast,
                                .vjp = [](const VjpArgs& v) -> Tensors {
                                  return {sum_to(v.output_gradients[0], v.inputs[0].shape())};
                                },
                                .cost = move_cost,
                                .read_attrs = Attrs::read<ShapeAttrs>};

const OpDef slice_def = {.name = "slice",
                         .infer = infer_slice,
                         .vjp = [](const VjpArgs& v) -> Tensors {
                           const auto& attrs = v.node.attr<SliceAttrs>();
                           const Tensor &x = v.inputs[0], &g = v.output_gradients[0];
                           std::vector<int64_t> high = zeros(x), interior = zeros(x);
                           for (size_t i = 0; i < high.size(); ++i) {
                             bool whole = attrs.end[i] == to_the_end && attrs.step[i] == 1;
                             if (whole) continue;
                             int64_t taken = g.size(static_cast<int>(i));
                             int64_t covered = taken == 0 ? 0 : (taken - 1) * attrs.step[i] + 1;
                             interior[i] = attrs.step[i] - 1;
                             high[i] = x.size(static_cast<int>(i)) - attrs.start[i] - covered;
                           }
                           return {pad(g, attrs.start, high, 0, interior)};
                         },
                         .cost = move_cost,
                         .read_attrs = Attrs::read<SliceAttrs>};

const OpDef pad_def = {.name = "pad",
                       .infer = infer_pad,
                       .vjp = [](const VjpArgs& v) -> Tensors {
                         const auto& attrs = v.node.attr<PadAttrs>();
                         const Tensor& x = v.inputs[0];
                         std::vector<int64_t> low, high, step;
                         for (size_t i = 0; i < attrs.low.size(); ++i) {
                           low.push_back(-attrs.low[i]);
                           high.push_back(-attrs.high[i]);
                           step.push_back(attrs.interior[i] + 1);
                         }
                         // Negative padding first brings g to the padded extent of x, then every
                         // step-th is x's.
                         Tensor whole = pad(v.output_gradients[0], low, high);
                         bool strided =
                             std::any_of(step.begin(), step.end(), [](int64_t s) { return s > 1; });
                         if (!strided) return {whole};
                         return {slice(whole, zeros(x), whole.shape().sizes(), step)};
                       },
                       .cost = move_cost,
                       .read_attrs = Attrs::read<PadAttrs>};

const OpDef flip_def = {.name = "flip",
                        .infer = infer_flip,
                        .vjp = [](const VjpArgs& v) -> Tensors {
                          return {flip(v.output_gradients[0], v.node.attr<AxesAttrs>().axes)};
                        },
                        .cost = move_cost,
                        .read_attrs = Attrs::read<AxesAttrs>};

const OpDef concat_def = {.name = "concat",
                          .infer = infer_concat,
                          .vjp = [](const VjpArgs& v) -> Tensors {
                            auto axis = static_cast<int>(v.node.attr<AxisAttrs>().axis);
                            std::vector<int64_t> sizes;
                            for (const Tensor& part : v.inputs) sizes.push_back(part.size(axis));
                            return split(v.output_gradients[0], sizes, axis);
                          },
                          .cost = move_cost,
                          .read_attrs = Attrs::read<AxisAttrs>};

const OpDef dynamic_slice_def = {
    .name = "dynamic_slice",
    .infer = infer_dynamic_slice,
    .vjp = [](const VjpArgs& v) -> Tensors {
      Tensor blank = full(v.inputs[0].shape(), 0, v.inputs[0].dtype());
      return {dynamic_update_slice(blank, v.output_gradients[0], v.inputs[1]), {}};
    },
    .cost = [](const Node& node) -> Cost {
      return {0, 2.0 * static_cast<double>(node.outputs[0].bytes())};
    },
    .read_attrs = Attrs::read<DynamicSliceAttrs>};

const OpDef dynamic_update_slice_def = {
    .name = "dynamic_update_slice",
    .infer = infer_dynamic_update_slice,
    .vjp = [](const VjpArgs& v) -> Tensors {
      const Tensor &g = v.output_gradients[0], &update = v.inputs[1], &start = v.inputs[2];
      Tensors result(3);
      if (v.needed[0]) {
        result[0] = dynamic_update_slice(g, full(update.shape(), 0, update.dtype()), start);
      }
      if (v.needed[1]) result[1] = dynamic_slice(g, start, update.shape().sizes());
      return result;
    },
    .cost = move_cost};

Tensor reshape(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return make(op::reshape, {x}, ShapeAttrs{shape});
}

Tensor reshape(const Tensor& x, const std::vector<int64_t>& sizes) {
  auto open = std::find(sizes.begin(), sizes.end(), -1);
  if (open == sizes.end()) return reshape(x, Shape(sizes));
  // The open dimension is the quotient of all dimensions by the given ones; one symbol may be in
  // it.
  Dim left(1);
  for (const Dim& dim : x.shape().dims()) left = left * dim;
  int64_t given = 1;
  for (auto it = sizes.begin(); it != sizes.end(); ++it) {
    if (it != open) given *= *it;
  }
  if (given <= 0 || (left.is_static() && left.value() % given != 0)) {
    throw UserError("reshape", str("no size fits for -1: ", x.shape(), " has ", left, " elements"),
                    {.expected = str("a multiple of ", given)});
  }
  std::vector<Dim> dims(sizes.begin(), open);
  dims.push_back(left / given);
  dims.insert(dims.end(), open + 1, sizes.end());
  return reshape(x, Shape(std::move(dims)));
}

Tensor flatten(const Tensor& x, int start, int end) {
  if (x.rank() == 0) return reshape(x, Shape{1});
  start = normalise_axis(start, x.rank(), "flatten");
  end = normalise_axis(end, x.rank(), "flatten");
  WAFER_REQUIRE(start <= end, "flatten", "start ", start, " is after end ", end);
  const auto& old = x.shape().dims();
  std::vector<Dim> dims(old.begin(), old.begin() + start);
  Dim product(1);
  for (int i = start; i <= end; ++i) product = product * x.shape()[i];
  dims.push_back(product);
  dims.insert(dims.end(), old.begin() + end + 1, old.end());
  return reshape(x, Shape(std::move(dims)));
}

Tensor squeeze(const Tensor& x, int axis) {
  axis = normalise_axis(axis, x.rank(), "squeeze");
  WAFER_REQUIRE(x.shape()[axis] == Dim(1), "squeeze", "dimension ", axis, " of ", x.shape(),
                " is not 1");
  auto dims = x.shape().dims();
  dims.erase(dims.begin() + axis);
  return reshape(x, Shape(std::move(dims)));
}

Tensor unsqueeze(const Tensor& x, int axis) {
  axis = normalise_axis(axis, x.rank() + 1, "unsqueeze");
  auto dims = x.shape().dims();
  dims.insert(dims.begin() + axis, Dim(1));
  return reshape(x, Shape(std::move(dims)));
}

Tensor transpose(const Tensor& x, const std::vector<int64_t>& permutation) {
  std::vector<int64_t> axes, identity(permutation.size());
  for (int64_t axis : permutation) axes.push_back(normalise_axis(axis, x.rank(), "transpose"));
  std::iota(identity.begin(), identity.end(), 0);
  if (axes == identity && static_cast<int>(axes.size()) == x.rank()) return x;
  return make(op::transpose, {x}, TransposeAttrs{axes});
}

Tensor swap_axes(const Tensor& x, int a, int b) {
  std::vector<int64_t> permutation(static_cast<size_t>(x.rank()));
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation[static_cast<size_t>(normalise_axis(a, x.rank(), "swap_axes"))],
            permutation[static_cast<size_t>(normalise_axis(b, x.rank(), "swap_axes"))]);
  return transpose(x, permutation);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return make(op::broadcast_to, {x}, ShapeAttrs{shape});
}

Tensor slice(const Tensor& x, const std::vector<int64_t>& start, const std::vector<int64_t>& end,
             const std::vector<int64_t>& step) {
  SliceAttrs attrs{start, end, step.empty() ? std::vector<int64_t>(start.size(), 1) : step};
  return make(op::slice, {x}, attrs);
}

Tensor narrow(const Tensor& x, int axis, int64_t start, int64_t end, int64_t step) {
  axis = normalise_axis(axis, x.rank(), "narrow");
  SliceAttrs attrs{zeros(x), std::vector<int64_t>(static_cast<size_t>(x.rank()), to_the_end),
                   std::vector<int64_t>(static_cast<size_t>(x.rank()), 1)};
  int64_t size = x.size(axis);
  auto bound = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size); };
  auto at = static_cast<size_t>(axis);
  attrs.start[at] = bound(start);
  attrs.end[at] = std::max(bound(end), attrs.start[at]);
  attrs.step[at] = step;
  if (attrs.start[at] == 0 && attrs.end[at] == size && step == 1) return x;
  return make(op::slice, {x}, attrs);
}

Tensor pad(const Tensor& x, const std::vector<int64_t>& low, const std::vector<int64_t>& high,
           double value, const std::vector<int64_t>& interior) {
  PadAttrs attrs{low, high, interior.empty() ? zeros(x) : interior, value};
  auto none = [](const std::vector<int64_t>& amounts) {
    return std::all_of(amounts.begin(), amounts.end(), [](int64_t a) { return a == 0; });
  };
  if (none(attrs.low) && none(attrs.high) && none(attrs.interior) &&
      static_cast<int>(low.size()) == x.rank()) {
    return x;
  }
  return make(op::pad, {x}, attrs);
}

Tensor flip(const Tensor& x, const std::vector<int64_t>& axes) {
  std::vector<int64_t> normal;
  for (int64_t axis : axes) normal.push_back(normalise_axis(axis, x.rank(), "flip"));
  return normal.empty() ? x : make(op::flip, {x}, AxesAttrs{normal});
}

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  WAFER_REQUIRE(!parts.empty(), "concat", "needs at least one tensor");
  DType dtype = parts[0].dtype();
  for (const Tensor& part : parts) dtype = promote(dtype, part.dtype());
  Tensors same;
  for (const Tensor& part : parts) same.push_back(cast(part, dtype));
  if (same.size() == 1) return same[0];
  return make(op::concat, same, AxisAttrs{normalise_axis(axis, parts[0].rank(), "concat")});
}

Tensor stack(const std::vector<Tensor>& parts, int axis) {
  Tensors lifted;
  for (const Tensor& part : parts) lifted.push_back(unsqueeze(part, axis));
  return concat(lifted, parts.empty() ? 0 : normalise_axis(axis, parts[0].rank() + 1, "stack"));
}

std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int axis) {
  int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  WAFER_REQUIRE(total == x.size(axis), "split", "parts of ", attr_text(sizes),
                " do not add up to dimension ", axis, " of ", x.shape());
  Tensors parts;
  int64_t start = 0;
  for (int64_t size : sizes) {
    parts.push_back(narrow(x, axis, start, start + size));
    start += size;
  }
  return parts;
}

std::vector<Tensor> chunk(const Tensor& x, int64_t parts, int axis) {
  WAFER_REQUIRE(parts > 0 && x.size(axis) % parts == 0, "chunk", "dimension ", axis, " of ",
                x.shape(), " does not divide into ", parts, " parts");
  return split(x, std::vector<int64_t>(static_cast<size_t>(parts), x.size(axis) / parts), axis);
}

Tensor dynamic_slice(const Tensor& x, const Tensor& start, const std::vector<int64_t>& sizes) {
  return make(op::dynamic_slice, {x, start}, DynamicSliceAttrs{sizes});
}

Tensor dynamic_update_slice(const Tensor& x, const Tensor& update, const Tensor& start) {
  return make(op::dynamic_update_slice, {x, update, start});
}

}  // namespace wafer
