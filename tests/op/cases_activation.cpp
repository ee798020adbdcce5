#include "tests/op/cases.h"
#include "wafer/op/activation.h"

namespace wafer::op_tests {

std::vector<OpCase> activation_cases() {
  std::vector<OpCase> cases;
  auto add = [&](const char* op, const char* name, Tensor (*build)(const Tensor&),
                 const std::vector<DType>& dtypes, double low = -4, double high = 4) {
    for (const Sizes& sizes : {Sizes{}, Sizes{1}, Sizes{259}, Sizes{3, 2, 5}, Sizes{2, 0}}) {
      cases.push_back({.op = op,
                       .name = std::string(name) + text(sizes),
                       .inputs = {{sizes, low, high}},
                       .build = [build](const auto& in) { return std::vector{build(in[0])}; },
                       .dtypes = dtypes,
                       .tolerance = 16,
                       .of_largest = true,
                       .magnitude = 4});
    }
  };
  add("relu", "positive ", relu, numbers(), 0.1, 4);
  add("relu", "mixed ", relu, numbers());
  add("sigmoid", "", sigmoid, floats());
  add("sigmoid", "far ", sigmoid, floats(), -60, 60);
  add("silu", "", silu, floats());
  add(
      "gelu", "", [](const Tensor& x) { return gelu(x); }, floats());
  add(
      "gelu", "by tanh ", [](const Tensor& x) { return gelu(x, true); }, floats());
  add(
      "where", "leaky_relu ", [](const Tensor& x) { return leaky_relu(x, 0.1); }, floats());
  add(
      "where", "elu ", [](const Tensor& x) { return elu(x, 1.5); }, floats());
  add("log1p", "softplus ", softplus, floats());
  add("log1p", "log_sigmoid ", log_sigmoid, floats());
  add("minimum", "hard_sigmoid ", hard_sigmoid, floats());
  add("minimum", "hard_swish ", hard_swish, floats());
  return cases;
}

}  // namespace wafer::op_tests
