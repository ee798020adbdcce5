#include <cstdio>

#include "wafer/op/matmul.h"

// [1 2 3] . [4 5 6] through the whole path: trace, passes, device.
int main() {
  using wafer::Tensor;
  Tensor a = Tensor::from_values<float>({1, 2, 3}, {1, 3});
  Tensor b = Tensor::from_values<float>({4, 5, 6}, {3, 1});
  std::printf("%g\n", wafer::matmul(a, b).item());
}
