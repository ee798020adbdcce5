#include "wafer/op/pool.h"

#include "wafer/backend/reference/array.h"

namespace wafer::reference {

namespace {

// Where the element at a place of a window lies in the input; false when that is padding.
template <class A>
bool in_window(const A& attrs, const Sizes& x, const Coordinates& at_y, const Coordinates& place,
               Coordinates& at_x) {
  at_x = {at_y[0], at_y[1]};
  for (size_t d = 0; d < attrs.kernel.size(); ++d) {
    at_x[d + 2] =
        at_y[d + 2] * attrs.stride[d] + place[d] * attrs.dilation[d] - attrs.padding_low[d];
    if (at_x[d + 2] < 0 || at_x[d + 2] >= x[d + 2]) return false;
  }
  return true;
}

// What an average divides by: the window's elements, those in the padding as attrs say.
template <class A>
double divisor(const A& attrs, const Sizes& x, const Coordinates& at_y) {
  if (attrs.count_padding) return static_cast<double>(count(attrs.kernel));
  double inside = 0;
  for_each(attrs.kernel, [&](const Coordinates& place) {
    Coordinates at_x;
    inside += in_window(attrs, x, at_y, place, at_x);
  });
  return inside > 0 ? inside : 1;
}

}  // namespace

WAFER_KERNEL(max_pool) {
  PoolAttrs attrs = node.attr<PoolAttrs>();
  bool index_used = context.output_used.size() < 2 || context.output_used[1];
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> x(node.inputs[0].type());
    Writer<C> y(node.outputs[0]);
    Writer<int64_t> winner(node.outputs[1]);
    return [=](const StepArgs& args) {
      for_each(y.sizes, [&](const Coordinates& at_y) {
        C best = std::is_same_v<C, double>
                     ? static_cast<C>(-std::numeric_limits<double>::infinity())
                     : std::numeric_limits<C>::lowest();
        int64_t number = 0, index = 0;
        bool found = false;
        for_each(attrs.kernel, [&](const Coordinates& place) {
          Coordinates at_x;
          int64_t here = number++;
          if (!in_window(attrs, x.sizes, at_y, place, at_x)) return;
          C value = x.get(args.in[0], at_x);
          if (found && !precedes(best, value)) return;
          best = value;
          index = here;
          found = true;
        });
        if (args.out[0]) y.set(args.out[0], at_y, best);
        if (index_used && args.out[1]) winner.set(args.out[1], at_y, index);
      });
    };
  });
}

WAFER_KERNEL(max_pool_gradient) {
  PoolGradientAttrs attrs = node.attr<PoolGradientAttrs>();
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> gradient(node.inputs[0].type());
    Reader<int64_t> winner(node.inputs[1].type());
    Writer<C> result(node.outputs[0]);
    return [=](const StepArgs& args) {
      std::vector<C> sums(static_cast<size_t>(count(result.sizes)));
      Extent dense(result.sizes), window(attrs.kernel);
      for_each(gradient.sizes, [&](const Coordinates& at_y) {
        Coordinates at_x, place = window.coordinates(winner.get(args.in[1], at_y));
        if (!in_window(attrs, result.sizes, at_y, place, at_x)) return;
        C& sum = sums[static_cast<size_t>(dense.offset(at_x))];
        sum = plus(sum, gradient.get(args.in[0], at_y));
      });
      result.set_all(args.out[0], sums);
    };
  });
}

WAFER_KERNEL(avg_pool) {
  PoolAttrs attrs = node.attr<PoolAttrs>();
  Reader<double> x(node.inputs[0].type());
  Writer<double> y(node.outputs[0]);
  return [=](const StepArgs& args) {
    for_each(y.sizes, [&](const Coordinates& at_y) {
      double sum = 0;
      for_each(attrs.kernel, [&](const Coordinates& place) {
        Coordinates at_x;
        if (in_window(attrs, x.sizes, at_y, place, at_x)) sum += x.get(args.in[0], at_x);
      });
      y.set(args.out[0], at_y, sum / divisor(attrs, x.sizes, at_y));
    });
  };
}

WAFER_KERNEL(avg_pool_gradient) {
  PoolGradientAttrs attrs = node.attr<PoolGradientAttrs>();
  Reader<double> gradient(node.inputs[0].type());
  Writer<double> result(node.outputs[0]);
  return [=](const StepArgs& args) {
    std::vector<double> sums(static_cast<size_t>(count(result.sizes)));
    Extent dense(result.sizes);
    for_each(gradient.sizes, [&](const Coordinates& at_y) {
      double share = gradient.get(args.in[0], at_y) / divisor(attrs, result.sizes, at_y);
      for_each(attrs.kernel, [&](const Coordinates& place) {
        Coordinates at_x;
        if (in_window(attrs, result.sizes, at_y, place, at_x))
          sums[static_cast<size_t>(dense.offset(at_x))] += share;
      });
    });
    result.set_all(args.out[0], sums);
  };
}

}  // namespace wafer::reference
