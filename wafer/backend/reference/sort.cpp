#include <algorithm>
#include <numeric>

#include "wafer/backend/reference/array.h"
#include "wafer/op/index.h"

namespace wafer::reference {

WAFER_KERNEL(sort) {
  SortAttrs attrs = node.attr<SortAttrs>();
  auto axis = static_cast<size_t>(attrs.axis);
  return visit_computed(node.outputs[0].dtype, [&]<class C>(std::type_identity<C>) -> Step {
    Reader<C> x(node.inputs[0].type());
    Writer<C> values(node.outputs[0]);
    Writer<int64_t> indices(node.outputs[1]);
    return [=](const StepArgs& args) {
      if (x.sizes[axis] == 0) return;
      Sizes lines = x.sizes;
      lines[axis] = 1;
      for_each(lines, [&](const Coordinates& first) {
        Coordinates at = first;
        std::vector<C> line;
        for (; at[axis] < x.sizes[axis]; ++at[axis]) line.push_back(x.get(args.in[0], at));
        std::vector<size_t> order(line.size());
        std::iota(order.begin(), order.end(), size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
          return attrs.descending ? precedes(line[b], line[a]) : precedes(line[a], line[b]);
        });
        for (size_t i = 0; i < order.size(); ++i) {
          at[axis] = static_cast<int64_t>(i);
          if (args.out[0]) values.set(args.out[0], at, line[order[i]]);
          if (args.out[1]) indices.set(args.out[1], at, static_cast<int64_t>(order[i]));
        }
      });
    };
  });
}

}  // namespace wafer::reference
