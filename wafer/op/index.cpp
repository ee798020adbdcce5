#include "wafer/op/index.h"

#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

void require_indices(const char* op, const Tensor& indices) {
  require_dtype(indices.dtype() == DType::i64 || indices.dtype() == DType::i32, op, indices,
                "indices of i32 or i64");
}

Shape gathered_shape(const Tensor& x, const Tensor& indices, int axis) {
  const auto& dims = x.shape().dims();
  std::vector<Dim> result(dims.begin(), dims.begin() + axis);
  result.insert(result.end(), indices.shape().dims().begin(), indices.shape().dims().end());
  result.insert(result.end(), dims.begin() + axis + 1, dims.end());
  return Shape(std::move(result));
}

int axis_of(const InferArgs& args, const char* op) {
  return normalise_axis(args.attrs.as<AxisAttrs>().axis, args.inputs[0].rank(), op);
}

std::vector<Type> infer_gather(const InferArgs& args) {
  require_indices("gather", args.inputs[1]);
  const Tensor& x = args.inputs[0];
  return {Type{x.dtype(), gathered_shape(x, args.inputs[1], axis_of(args, "gather"))}};
}

std::vector<Type> infer_scatter_add(const InferArgs& args) {
  const Tensor &x = args.inputs[0], &indices = args.inputs[1], &updates = args.inputs[2];
  require_indices("scatter_add", indices);
  Shape expected = gathered_shape(x, indices, axis_of(args, "scatter_add"));
  if (!(updates.shape() == expected && updates.dtype() == x.dtype())) {
    throw UserError("scatter_add", "updates do not fit",
                    {.got = str(updates.type()), .expected = str(Type{x.dtype(), expected})});
  }
  return {Type{x.dtype(), x.shape()}};
}

void require_elements_fit(const char* op, const Tensor& x, const Tensor& indices, int axis) {
  require_indices(op, indices);
  bool fits = indices.rank() == x.rank();
  for (int d = 0; fits && d < x.rank(); ++d) {
    const Dim &read = indices.shape()[d], &there = x.shape()[d];
    bool known = read.is_static() && there.is_static();
    fits = d == axis || (known ? read.value() <= there.value() : read == there);
  }
  WAFER_REQUIRE(fits, op, "indices of ", indices.shape(), " do not fit ", x.shape(),
                " outside axis ", axis);
}

std::vector<Type> infer_gather_elements(const InferArgs& args) {
  require_elements_fit("gather_elements", args.inputs[0], args.inputs[1],
                       axis_of(args, "gather_elements"));
  return {Type{args.inputs[0].dtype(), args.inputs[1].shape()}};
}

std::vector<Type> infer_scatter_elements(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  int axis =
      normalise_axis(args.attrs.as<ScatterElementsAttrs>().axis, x.rank(), "scatter_elements");
  require_elements_fit("scatter_elements", x, args.inputs[1], axis);
  WAFER_REQUIRE(
      args.inputs[2].shape() == args.inputs[1].shape() && args.inputs[2].dtype() == x.dtype(),
      "scatter_elements", "updates of ", args.inputs[2].type(), " for indices ",
      args.inputs[1].shape(), " into ", x.type());
  return {Type{x.dtype(), x.shape()}};
}

std::vector<Type> infer_sort(const InferArgs& args) {
  const Tensor& x = args.inputs[0];
  normalise_axis(args.attrs.as<SortAttrs>().axis, x.rank(), "sort");
  return {Type{x.dtype(), x.shape()}, Type{DType::i64, x.shape()}};
}

// Reads and writes of what is selected, not of the whole table.
Cost gather_cost(const Node& node) {
  return {0, 2.0 * static_cast<double>(node.outputs[0].bytes()) +
                 static_cast<double>(node.inputs[1].type().bytes())};
}
}  // namespace

const OpDef gather_def = {
    .name = "gather",
    .infer = infer_gather,
    .vjp = [](const VjpArgs& v) -> Tensors {
      auto axis = static_cast<int>(v.node.attr<AxisAttrs>().axis);
      return {scatter_add(zeros_like(v.inputs[0]), v.inputs[1], v.output_gradients[0], axis), {}};
    },
    .cost = gather_cost,
    .read_attrs = Attrs::read<AxisAttrs>};

const OpDef scatter_add_def = {
    .name = "scatter_add",
    .infer = infer_scatter_add,
    .vjp = [](const VjpArgs& v) -> Tensors {
      auto axis = static_cast<int>(v.node.attr<AxisAttrs>().axis);
      const Tensor& g = v.output_gradients[0];
      return {g, {}, v.needed[2] ? gather(g, v.inputs[1], axis) : Tensor()};
    },
    .read_attrs = Attrs::read<AxisAttrs>};

const OpDef gather_elements_def = {.name = "gather_elements",
                                   .infer = infer_gather_elements,
                                   .vjp = [](const VjpArgs& v) -> Tensors {
                                     auto axis = static_cast<int>(v.node.attr<AxisAttrs>().axis);
                                     return {scatter_elements(zeros_like(v.inputs[0]), v.inputs[1],
                                                              v.output_gradients[0], axis, true),
                                             {}};
                                   },
                                   .cost = gather_cost,
                                   .read_attrs = Attrs::read<AxisAttrs>};

const OpDef scatter_elements_def = {
    .name = "scatter_elements",
    .infer = infer_scatter_elements,
    .vjp = [](const VjpArgs& v) -> Tensors {
      const auto& [axis, add] = v.node.attr<ScatterElementsAttrs>();
      const Tensor &g = v.output_gradients[0], &indices = v.inputs[1];
      auto at = static_cast<int>(axis);
      Tensors result(3);
      if (v.needed[0]) {
        result[0] = add ? g : scatter_elements(g, indices, zeros_like(v.inputs[2]), at);
      }
      if (v.needed[2]) result[2] = gather_elements(g, indices, at);
      return result;
    },
    .read_attrs = Attrs::read<ScatterElementsAttrs>};

const OpDef sort_def = {
    .name = "sort",
    .infer = infer_sort,
    .vjp = [](const VjpArgs& v) -> Tensors {
      if (!v.output_gradients[0]) return {{}};
      auto axis = static_cast<int>(v.node.attr<SortAttrs>().axis);
      return {scatter_elements(zeros_like(v.inputs[0]), v.outputs[1], v.output_gradients[0], axis)};
    },
    .cost = [](const Node& node) -> Cost {
      // n log2 n comparisons, with a log of 16 as a middle size.
      return {16.0 * static_cast<double>(node.outputs[0].elements()), bytes_touched(node)};
    },
    .read_attrs = Attrs::read<SortAttrs>};

Tensor gather(const Tensor& x, const Tensor& indices, int axis) {
  return make(op::gather, {x, indices}, AxisAttrs{normalise_axis(axis, x.rank(), "gather")});
}
Tensor scatter_add(const Tensor& x, const Tensor& indices, const Tensor& updates, int axis) {
  return make(op::scatter_add, {x, indices, updates},
              AxisAttrs{normalise_axis(axis, x.rank(), "scatter_add")});
}
Tensor gather_elements(const Tensor& x, const Tensor& indices, int axis) {
  return make(op::gather_elements, {x, indices},
              AxisAttrs{normalise_axis(axis, x.rank(), "gather_elements")});
}
Tensor scatter_elements(const Tensor& x, const Tensor& indices, const Tensor& updates, int axis,
                        bool add) {
  return make(op::scatter_elements, {x, indices, updates},
              ScatterElementsAttrs{normalise_axis(axis, x.rank(), "scatter_elements"), add});
}
Tensor embedding(const Tensor& table, const Tensor& indices) {
  WAFER_REQUIRE(table.rank() == 2, "embedding", "a table of ", table.shape(),
                "; expected [entries, width]");
  return gather(table, indices, 0);
}
Tensor one_hot(const Tensor& indices, int64_t classes, DType dtype) {
  require_indices("one_hot", indices);
  WAFER_REQUIRE(classes > 0, "one_hot", "the number of classes must be positive; got ", classes);
  auto dims = indices.shape().dims();
  dims.emplace_back(classes);
  Shape shape(std::move(dims));
  return cast(equal(unsqueeze(indices, -1), iota(shape, shape.rank() - 1, indices.dtype())), dtype);
}
SortResult sort(const Tensor& x, int axis, bool descending) {
  auto outputs =
      make_node(op::sort, {x}, SortAttrs{normalise_axis(axis, x.rank(), "sort"), descending});
  return {outputs[0], outputs[1]};
}
SortResult topk(const Tensor& x, int64_t k, int axis, bool largest) {
  axis = normalise_axis(axis, x.rank(), "topk");
  WAFER_REQUIRE(k >= 0 && k <= x.size(axis), "topk", "k = ", k, " of ", x.size(axis), " elements");
  SortResult sorted = sort(x, axis, largest);
  return {narrow(sorted.values, axis, 0, k), narrow(sorted.indices, axis, 0, k)};
}

}  // namespace wafer
