#include "wafer/op/reduce.h"

#include "wafer/backend/reference/array.h"
#include "wafer/op/shape_ops.h"

namespace wafer::reference {

namespace {

// Combines the elements that fall onto one output element, in row-major order, starting at
// `initial` or, without it, at the first of them.
template <class C, class Combine>
Step reduction(const Node& node, std::optional<C> initial, Combine combine) {
  Reader<C> x(node.inputs[0].type());
  Writer<C> y(node.outputs[0]);
  std::vector<bool> reduced(x.rank());
  for (int64_t axis : node.attr<ReduceAttrs>().axes) reduced[static_cast<size_t>(axis)] = true;
  return [=](const StepArgs& args) {
    Extent dense(y.sizes);
    auto outputs = static_cast<size_t>(count(y.sizes));
    std::vector<C> total(outputs, initial.value_or(C{}));
    std::vector<bool> started(outputs, initial.has_value());
    for_each(x.sizes, [&](const Coordinates& at) {
      Coordinates target{};
      size_t kept = 0;
      for (size_t d = 0; d < x.rank(); ++d) {
        if (!reduced[d]) target[kept++] = at[d];
      }
      auto place = static_cast<size_t>(dense.offset(target));
      C value = x.get(args.in[0], at);
      total[place] = started[place] ? combine(total[place], value) : value;
      started[place] = true;
    });
    y.set_all(args.out[0], total);
  };
}

template <class Combine>
Step sum_like(const Node& node, int initial, Combine combine) {
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) {
    return reduction<C>(node, static_cast<C>(initial), combine);
  });
}

template <class Better>
Step extremum(const Node& node, Better better) {
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) {
    return reduction<C>(node, std::nullopt, [better](C best, C value) {
      if (is_nan(best) || is_nan(value)) return is_nan(best) ? best : value;
      return better(value, best) ? value : best;
    });
  });
}

// The first index along the axis whose element no other is better than; NaN is best of all.
template <class Better>
Step arg_extremum(const Node& node, Better better) {
  const Type& from = node.inputs[0].type();
  auto axis = static_cast<size_t>(node.attr<AxisAttrs>().axis);
  return visit_computed(from.dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> x(from);
    Writer<int64_t> y(node.outputs[0]);
    return [=](const StepArgs& args) {
      for_each(y.sizes, [&](const Coordinates& at) {
        Coordinates source{};
        for (size_t d = 0, kept = 0; d < x.rank(); ++d) source[d] = d == axis ? 0 : at[kept++];
        C best = x.get(args.in[0], source);
        int64_t index = 0;
        for (int64_t i = 1; i < x.sizes[axis] && !is_nan(best); ++i) {
          source[axis] = i;
          C value = x.get(args.in[0], source);
          if (!is_nan(value) && !better(value, best)) continue;
          best = value;
          index = i;
        }
        y.set(args.out[0], at, index);
      });
    };
  });
}

}  // namespace

WAFER_KERNEL(reduce_sum) {
  return sum_like(node, 0, [](auto total, auto value) { return plus(total, value); });
}
WAFER_KERNEL(reduce_prod) {
  return sum_like(node, 1, [](auto total, auto value) { return times(total, value); });
}
WAFER_KERNEL(reduce_max) {
  return extremum(node, [](auto value, auto best) { return value > best; });
}
WAFER_KERNEL(reduce_min) {
  return extremum(node, [](auto value, auto best) { return value < best; });
}
WAFER_KERNEL(argmax) {
  return arg_extremum(node, [](auto value, auto best) { return value > best; });
}
WAFER_KERNEL(argmin) {
  return arg_extremum(node, [](auto value, auto best) { return value < best; });
}

WAFER_KERNEL(cumsum) {
  auto axis = static_cast<size_t>(node.attr<AxisAttrs>().axis);
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> x(node.inputs[0].type());
    Writer<C> y(node.outputs[0]);
    return [=](const StepArgs& args) {
      Sizes lines = x.sizes;
      if (lines[axis] == 0) return;
      lines[axis] = 1;
      for_each(lines, [&](const Coordinates& first) {
        C total = 0;
        Coordinates at = first;
        for (; at[axis] < x.sizes[axis]; ++at[axis]) {
          total = plus(total, x.get(args.in[0], at));
          y.set(args.out[0], at, total);
        }
      });
    };
  });
}

}  // namespace wafer::reference
