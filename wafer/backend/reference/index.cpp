#include "wafer/op/index.h"

#include "wafer/backend/reference/array.h"
#include "wafer/op/shape_ops.h"

namespace wafer::reference {

namespace {

// An index in [-size, size) as one in [0, size).
int64_t checked(int64_t index, int64_t size, const char* op) {
  WAFER_REQUIRE(index >= -size && index < size, op, "index ", index,
                " is out of range for a dimension of size ", size);
  return index < 0 ? index + size : index;
}

// For coordinates of x's shape with `axis` replaced by the indices' shape: those of the index, and
// those in x but for the axis.
struct Selected {
  Coordinates at_index{}, at_x{};
};
Selected selected(const Coordinates& at, size_t axis, size_t index_rank, size_t rank) {
  Selected result;
  for (size_t d = 0; d < axis; ++d) result.at_x[d] = at[d];
  for (size_t d = 0; d < index_rank; ++d) result.at_index[d] = at[axis + d];
  for (size_t d = axis + 1; d < rank; ++d) result.at_x[d] = at[d + index_rank - 1];
  return result;
}

template <class C>
std::vector<C> dense_copy(const Reader<C>& x, const void* data) {
  std::vector<C> values;
  for_each(x.sizes, [&](const Coordinates& at) { values.push_back(x.get(data, at)); });
  return values;
}

}  // namespace

WAFER_KERNEL(gather) {
  auto axis = static_cast<size_t>(node.attr<AxisAttrs>().axis);
  Extent x(node.inputs[0].type()), y(node.outputs[0]);
  Reader<int64_t> indices(node.inputs[1].type());
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    for_each(y.sizes, [&](const Coordinates& at) {
      Selected from = selected(at, axis, indices.rank(), x.rank());
      from.at_x[axis] = checked(indices.get(args.in[1], from.at_index), x.sizes[axis], "gather");
      mover.move(args.in[0], x.offset(from.at_x), args.out[0], y.offset(at));
    });
  };
}

WAFER_KERNEL(scatter_add) {
  auto axis = static_cast<size_t>(node.attr<AxisAttrs>().axis);
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> x(node.inputs[0].type()), updates(node.inputs[2].type());
    Reader<int64_t> indices(node.inputs[1].type());
    Writer<C> y(node.outputs[0]);
    return [=](const StepArgs& args) {
      std::vector<C> sums = dense_copy(x, args.in[0]);
      Extent dense(x.sizes);
      for_each(updates.sizes, [&](const Coordinates& at) {
        Selected to = selected(at, axis, indices.rank(), x.rank());
        to.at_x[axis] = checked(indices.get(args.in[1], to.at_index), x.sizes[axis], "scatter_add");
        C& sum = sums[static_cast<size_t>(dense.offset(to.at_x))];
        sum = plus(sum, updates.get(args.in[2], at));
      });
      y.set_all(args.out[0], sums);
    };
  });
}

WAFER_KERNEL(gather_elements) {
  auto axis = static_cast<size_t>(node.attr<AxisAttrs>().axis);
  Extent x(node.inputs[0].type()), y(node.outputs[0]);
  Reader<int64_t> indices(node.inputs[1].type());
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    for_each(y.sizes, [&](const Coordinates& at) {
      Coordinates from = at;
      from[axis] = checked(indices.get(args.in[1], at), x.sizes[axis], "gather_elements");
      mover.move(args.in[0], x.offset(from), args.out[0], y.offset(at));
    });
  };
}

WAFER_KERNEL(scatter_elements) {
  ScatterElementsAttrs attrs = node.attr<ScatterElementsAttrs>();
  auto axis = static_cast<size_t>(attrs.axis);
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> x(node.inputs[0].type()), updates(node.inputs[2].type());
    Reader<int64_t> indices(node.inputs[1].type());
    Writer<C> y(node.outputs[0]);
    return [=](const StepArgs& args) {
      std::vector<C> values = dense_copy(x, args.in[0]);
      Extent dense(x.sizes);
      for_each(updates.sizes, [&](const Coordinates& at) {
        Coordinates to = at;
        to[axis] = checked(indices.get(args.in[1], at), x.sizes[axis], "scatter_elements");
        C& value = values[static_cast<size_t>(dense.offset(to))];
        C update = updates.get(args.in[2], at);
        value = attrs.add ? plus(value, update) : update;
      });
      y.set_all(args.out[0], values);
    };
  });
}

}  // namespace wafer::reference
