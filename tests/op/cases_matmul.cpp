#include "tests/op/cases.h"
#include "wafer/op/matmul.h"

namespace wafer::op_tests {

std::vector<OpCase> matmul_cases() {
  std::vector<OpCase> cases;
  auto add = [&](const Sizes& a, const Sizes& b, bool transpose_a = false,
                 bool transpose_b = false) {
    cases.push_back({.op = "matmul",
                     .name = str(text(a), transpose_a ? " transposed" : "", " by ", text(b),
                                 transpose_b ? " transposed" : ""),
                     .inputs = {{a}, {b}},
                     .build =
                         [=](const auto& in) {
                           return std::vector{matmul(in[0], in[1], transpose_a, transpose_b)};
                         },
                     .dtypes = numbers(),
                     .tolerance = 16,
                     .of_largest = true,
                     .magnitude = 4});
  };
  for (bool ta : {false, true}) {
    for (bool tb : {false, true}) {
      add(ta ? Sizes{5, 3} : Sizes{3, 5}, tb ? Sizes{4, 5} : Sizes{5, 4}, ta, tb);
      add(ta ? Sizes{2, 6, 3} : Sizes{2, 3, 6}, tb ? Sizes{2, 5, 6} : Sizes{2, 6, 5}, ta, tb);
    }
  }
  add({1, 1}, {1, 1});
  add({17, 33}, {33, 19});
  add({1, 40}, {40, 1});
  add({4}, {4});     // vectors: a scalar
  add({3, 4}, {4});  // matrix by vector
  add({4}, {4, 3});
  add({2, 1, 3, 4}, {5, 4, 2});  // batches broadcast
  add({2, 3, 4}, {4, 5});        // one product of all rows
  add({3, 0}, {0, 2});           // sums of nothing: zeros
  add({0, 3}, {3, 2});
  add({2, 0, 3}, {2, 3, 2});
  cases.push_back({.op = "matmul",
                   .name = "linear with bias",
                   .inputs = {{{2, 3, 5}}, {{4, 5}}, {{4}}},
                   .build = [](const auto& in) { return std::vector{linear(in[0], in[1], in[2])}; },
                   .dtypes = floats(),
                   .tolerance = 16,
                   .of_largest = true,
                   .magnitude = 4});
  return cases;
}

}  // namespace wafer::op_tests
