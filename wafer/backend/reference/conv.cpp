#include "wafer/op/conv.h"

#include "wafer/backend/reference/array.h"

namespace wafer::reference {

namespace {

// Which of the three values of a convolution x, weight -> y is computed from the other two.
enum class Role { input, weight, output };

// Calls term(at x, at weight, at y) for every product that the convolution sums: the forward pass
// adds x weight to y, its two gradients add y weight to x and x y to the weight.
template <class A, class Term>
void for_each_term(const A& attrs, const Sizes& x, const Sizes& weight, const Sizes& y,
                   Term&& term) {
  size_t spatial = attrs.stride.size();
  int64_t outputs_per_group = weight[0] / attrs.groups;
  Sizes taps(weight.begin() + 1, weight.end());  // channel within the group, kernel...
  for_each(y, [&](const Coordinates& at_y) {
    int64_t group = at_y[1] / outputs_per_group;
    for_each(taps, [&](const Coordinates& tap) {
      Coordinates at_x{}, at_weight{};
      at_weight[0] = at_y[1];
      at_x[0] = at_y[0];
      at_x[1] = group * taps[0] + tap[0];
      at_weight[1] = tap[0];
      for (size_t d = 0; d < spatial; ++d) {
        at_weight[d + 2] = tap[d + 1];
        at_x[d + 2] =
            at_y[d + 2] * attrs.stride[d] + tap[d + 1] * attrs.dilation[d] - attrs.padding_low[d];
        if (at_x[d + 2] < 0 || at_x[d + 2] >= x[d + 2]) return;
      }
      term(at_x, at_weight, at_y);
    });
  });
}

template <class A, Role role>
Step convolution(const Node& node) {
  const A& attrs = node.attr<A>();
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> first(node.inputs[0].type()), second(node.inputs[1].type());
    Writer<C> result(node.outputs[0]);
    return [=](const StepArgs& args) {
      std::vector<C> sums(static_cast<size_t>(count(result.sizes)));
      Extent dense(result.sizes);
      // Inputs are (x, weight), (gradient, weight) and (x, gradient).
      const Sizes& x = role == Role::input ? result.sizes : first.sizes;
      const Sizes& weight = role == Role::weight ? result.sizes : second.sizes;
      const Sizes& y = role == Role::output  ? result.sizes
                       : role == Role::input ? first.sizes
                                             : second.sizes;
      for_each_term(
          attrs, x, weight, y,
          [&](const Coordinates& at_x, const Coordinates& at_weight, const Coordinates& at_y) {
            const auto& at_first = role == Role::input ? at_y : at_x;
            const auto& at_second = role == Role::weight ? at_y : at_weight;
            const auto& at_result = role == Role::output  ? at_y
                                    : role == Role::input ? at_x
                                                          : at_weight;
            C& sum = sums[static_cast<size_t>(dense.offset(at_result))];
            sum = plus(sum,
                       times(first.get(args.in[0], at_first), second.get(args.in[1], at_second)));
          });
      result.set_all(args.out[0], sums);
    };
  });
}

}  // namespace

WAFER_KERNEL(conv) {
  return convolution<ConvAttrs, Role::output>(node);
}
WAFER_KERNEL(conv_input_gradient) {
  return convolution<ConvGradientAttrs, Role::input>(node);
}
WAFER_KERNEL(conv_weight_gradient) {
  return convolution<ConvGradientAttrs, Role::weight>(node);
}

}  // namespace wafer::reference
