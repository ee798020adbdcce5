#include "wafer/op/matmul.h"

#include "wafer/backend/reference/array.h"

namespace wafer::reference {

WAFER_KERNEL(matmul) {
  auto [transpose_a, transpose_b] = node.attr<MatmulAttrs>();
  return visit_computed(
      node.outputs[0].dtype,
      [&, ta = transpose_a, tb = transpose_b]<class C>(std::type_identity<C>) -> Step {
        Reader<C> a(node.inputs[0].type()), b(node.inputs[1].type());
        Writer<C> y(node.outputs[0]);
        return [=](const StepArgs& args) {
          size_t row = y.rank() - 2, column = y.rank() - 1;
          int64_t inner = a.sizes[ta ? row : column];
          for_each(y.sizes, [&](const Coordinates& at) {
            Coordinates left = at, right = at;
            left[ta ? column : row] = at[row];
            right[tb ? row : column] = at[column];
            C sum = 0;
            for (int64_t k = 0; k < inner; ++k) {
              left[ta ? row : column] = right[tb ? column : row] = k;
              sum = plus(sum, times(a.get(args.in[0], left), b.get(args.in[1], right)));
            }
            y.set(args.out[0], at, sum);
          });
        };
      });
}

}  // namespace wafer::reference
