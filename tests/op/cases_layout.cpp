#include "tests/op/cases.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/layout.h"
#include "wafer/op/shape_ops.h"

namespace wafer::op_tests {

std::vector<OpCase> layout_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  for (const Sizes& sizes :
       {Sizes{2, 3, 4, 5}, Sizes{1, 17, 6}, Sizes{2, 1, 2, 3, 2}, Sizes{0, 2, 3, 3}}) {
    cases.push_back({.op = "reorder",
                     .name = text(sizes),
                     .inputs = {{sizes}},
                     .build = [](const Tensors& in) -> Tensors {
                       return {reorder(reorder(in[0], Layout::channels_last), Layout::row_major)};
                     },
                     .dtypes = all_dtypes(),
                     .grad = false});
    // A chain computed between two layouts.
    cases.push_back({.op = "fused",
                     .name = text(sizes),
                     .inputs = {{sizes, 0.5, 2}, {sizes}},
                     .build = [](const Tensors& in) -> Tensors {
                       auto group = std::make_shared<Graph>();
                       Type type{in[0].dtype(), in[0].shape()};
                       group->inputs = {make_input(type, "a"), make_input(type, "b")};
                       const Tensor &a = group->inputs[0], &b = group->inputs[1];
                       Tensor product = a * b;
                       group->outputs = {exp(product) + a, maximum(product, b)};
                       return fuse(group, in);
                     },
                     .dtypes = floats(),
                     .grad = false,
                     .tolerance = 16});
  }
  return cases;
}

}  // namespace wafer::op_tests
