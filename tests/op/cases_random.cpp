#include "tests/op/cases.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/random.h"

namespace wafer::op_tests {

std::vector<OpCase> random_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  // Input: the key. Under PathScope-free RandomScope, each op is a stream of its own.
  Input key{{2}, 0, 1e9, Fill::index, DType::u64};
  for (const Sizes& sizes : {Sizes{1001}, Sizes{3, 5}, Sizes{}, Sizes{0, 2}, Sizes{2, 3, 4, 5}}) {
    cases.push_back({.op = "random_uniform",
                     .name = text(sizes),
                     .inputs = {key},
                     .build = [sizes](const Tensors& in) -> Tensors {
                       RandomScope scope(in[0]);
                       return {random_uniform(Shape(sizes)), random_uniform(Shape(sizes))};
                     },
                     .dtypes = only(DType::f32),
                     .grad = false,
                     .tolerance = 0});  // bit-equal on every device
    cases.push_back({.op = "random_normal",
                     .name = text(sizes),
                     .inputs = {key},
                     .build = [sizes](const Tensors& in) -> Tensors {
                       RandomScope scope(in[0]);
                       return {random_normal(Shape(sizes))};
                     },
                     .dtypes = only(DType::f32),
                     .grad = false,
                     .tolerance = 4});
  }
  cases.push_back({.op = "random_uniform",
                   .name = "dropout",
                   .inputs = {{{6, 50}}, key},
                   .build = [](const Tensors& in) -> Tensors {
                     RandomScope scope(in[1]);
                     return {dropout(in[0], 0.3)};
                   },
                   .dtypes = floats()});
  return cases;
}

}  // namespace wafer::op_tests
