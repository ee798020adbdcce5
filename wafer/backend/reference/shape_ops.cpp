#include "wafer/op/shape_ops.h"

#include <algorithm>

#include "wafer/backend/reference/array.h"

namespace wafer::reference {

namespace {

// Every output element is the input element at source(output coordinates).
template <class Source>
Step move_from(const Node& node, Source source) {
  Extent x(node.inputs[0].type()), y(node.outputs[0]);
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    for_each(y.sizes, [&](const Coordinates& at) {
      mover.move(args.in[0], x.offset(source(at)), args.out[0], y.offset(at));
    });
  };
}

// The start (i64 [rank]) of a block, clamped so that the block lies inside.
Coordinates clamped_start(const Reader<int64_t>& reader, const void* data, const Sizes& whole,
                          const Sizes& block) {
  Coordinates start{};
  for (size_t d = 0; d < whole.size(); ++d) {
    int64_t wanted = reader.get(data, {static_cast<int64_t>(d)});
    start[d] = std::clamp<int64_t>(wanted, 0, whole[d] - block[d]);
  }
  return start;
}

Coordinates shifted(Coordinates at, const Coordinates& start, size_t rank) {
  for (size_t d = 0; d < rank; ++d) at[d] += start[d];
  return at;
}

}  // namespace

WAFER_KERNEL(reshape) {
  Extent x(node.inputs[0].type()), y(node.outputs[0]);
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    int64_t place = 0;
    for_each(y.sizes, [&](const Coordinates& at) {
      mover.move(args.in[0], x.offset(x.coordinates(place++)), args.out[0], y.offset(at));
    });
  };
}

WAFER_KERNEL(transpose) {
  auto permutation = node.attr<TransposeAttrs>().permutation;
  return move_from(node, [permutation](const Coordinates& at) {
    Coordinates source{};
    for (size_t d = 0; d < permutation.size(); ++d)
      source[static_cast<size_t>(permutation[d])] = at[d];
    return source;
  });
}

WAFER_KERNEL(broadcast_to) {
  Sizes sizes = node.inputs[0].shape().sizes();
  size_t added = static_cast<size_t>(node.outputs[0].shape.rank()) - sizes.size();
  return move_from(node, [sizes, added](const Coordinates& at) {
    Coordinates source{};
    for (size_t d = 0; d < sizes.size(); ++d) source[d] = sizes[d] == 1 ? 0 : at[d + added];
    return source;
  });
}

WAFER_KERNEL(slice) {
  SliceAttrs attrs = node.attr<SliceAttrs>();
  return move_from(node, [attrs](const Coordinates& at) {
    Coordinates source{};
    for (size_t d = 0; d < attrs.start.size(); ++d)
      source[d] = attrs.start[d] + at[d] * attrs.step[d];
    return source;
  });
}

WAFER_KERNEL(flip) {
  Sizes sizes = node.outputs[0].shape.sizes();
  auto axes = node.attr<AxesAttrs>().axes;
  return move_from(node, [sizes, axes](const Coordinates& at) {
    Coordinates source = at;
    for (int64_t axis : axes) {
      auto d = static_cast<size_t>(axis);
      source[d] = sizes[d] - 1 - at[d];
    }
    return source;
  });
}

WAFER_KERNEL(pad) {
  PadAttrs attrs = node.attr<PadAttrs>();
  Extent x(node.inputs[0].type());
  Writer<double> y(node.outputs[0]);
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    for_each(y.sizes, [&](const Coordinates& at) { y.set(args.out[0], at, attrs.value); });
    for_each(x.sizes, [&](const Coordinates& at) {
      Coordinates target{};
      bool inside = true;
      for (size_t d = 0; d < x.rank(); ++d) {
        target[d] = attrs.low[d] + at[d] * (attrs.interior[d] + 1);
        inside = inside && target[d] >= 0 && target[d] < y.sizes[d];
      }
      if (inside) mover.move(args.in[0], x.offset(at), args.out[0], y.offset(target));
    });
  };
}

WAFER_KERNEL(concat) {
  auto axis = static_cast<size_t>(node.attr<AxisAttrs>().axis);
  std::vector<Extent> parts;
  for (const Tensor& part : node.inputs) parts.emplace_back(part.type());
  Extent y(node.outputs[0]);
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    int64_t start = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      for_each(parts[i].sizes, [&](const Coordinates& at) {
        Coordinates target = at;
        target[axis] += start;
        mover.move(args.in[i], parts[i].offset(at), args.out[0], y.offset(target));
      });
      start += parts[i].sizes[axis];
    }
  };
}

WAFER_KERNEL(dynamic_slice) {
  Extent x(node.inputs[0].type()), y(node.outputs[0]);
  Reader<int64_t> start(node.inputs[1].type());
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    Coordinates from = clamped_start(start, args.in[1], x.sizes, y.sizes);
    for_each(y.sizes, [&](const Coordinates& at) {
      mover.move(args.in[0], x.offset(shifted(at, from, x.rank())), args.out[0], y.offset(at));
    });
  };
}

WAFER_KERNEL(dynamic_update_slice) {
  Extent x(node.inputs[0].type()), update(node.inputs[1].type()), y(node.outputs[0]);
  Reader<int64_t> start(node.inputs[2].type());
  Mover mover(node.outputs[0]);
  return [=](const StepArgs& args) {
    Coordinates to = clamped_start(start, args.in[2], x.sizes, update.sizes);
    for_each(y.sizes, [&](const Coordinates& at) {
      mover.move(args.in[0], x.offset(at), args.out[0], y.offset(at));
    });
    for_each(update.sizes, [&](const Coordinates& at) {
      mover.move(args.in[1], update.offset(at), args.out[0], y.offset(shifted(at, to, y.rank())));
    });
  };
}

}  // namespace wafer::reference
