#include "tests/op/cases.h"
#include "wafer/op/softmax.h"

namespace wafer::op_tests {

std::vector<OpCase> softmax_cases() {
  std::vector<OpCase> cases;
  using Softmax = Tensor (*)(const Tensor&, int);
  for (const auto& [op, build] : std::vector<std::pair<const char*, Softmax>>{
           {"softmax", softmax}, {"log_softmax", log_softmax}}) {
    for (const auto& [sizes, axis] : std::vector<std::pair<Sizes, int>>{{{4, 7}, -1},
                                                                        {{4, 7}, 0},
                                                                        {{2, 5, 3}, 1},
                                                                        {{130}, 0},
                                                                        {{3, 1}, 1},
                                                                        {{0, 4}, 1},
                                                                        {{3, 0}, 1}}) {
      // Far apart too, where exp alone would overflow f16.
      for (double range : {2.0, 40.0}) {
        cases.push_back({.op = op,
                         .name = str(text(sizes), " along ", axis, " within ", range),
                         .inputs = {{sizes, -range, range}},
                         .build = [build = build, axis = axis](
                                      const auto& in) { return std::vector{build(in[0], axis)}; },
                         .dtypes = floats(),
                         .tolerance = 32,
                         .of_largest = true,
                         .magnitude = 2});
      }
    }
  }
  return cases;
}

}  // namespace wafer::op_tests
