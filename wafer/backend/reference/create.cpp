#include "wafer/op/create.h"

#include "wafer/backend/reference/array.h"

namespace wafer::reference {

WAFER_KERNEL(iota) {
  auto axis = static_cast<size_t>(node.attr<IotaAttrs>().axis);
  Writer<int64_t> y(node.outputs[0]);
  return [=](const StepArgs& args) {
    for_each(y.sizes, [&](const Coordinates& at) { y.set(args.out[0], at, at[axis]); });
  };
}

}  // namespace wafer::reference
