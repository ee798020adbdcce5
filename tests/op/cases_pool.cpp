#include <algorithm>

#include "tests/op/cases.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/pool.h"
#include "wafer/tensor/grad.h"

namespace wafer::op_tests {

std::vector<OpCase> pool_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  struct Geometry {
    const char* name;
    Sizes x;
    PoolOptions options;
  };
  for (const Geometry& g : std::vector<Geometry>{
           {"1d", {2, 3, 10}, {.kernel = {3}, .stride = {2}}},
           {"2d", {2, 3, 6, 8}, {.kernel = {2}}},
           {"2d padded", {1, 2, 7, 5}, {.kernel = {3}, .stride = {2}, .padding = {1}}},
           {"2d overlapping", {1, 2, 6, 6}, {.kernel = {3, 2}, .stride = {1}}},
           {"2d dilated",
            {1, 1, 9, 8},
            {.kernel = {3, 2}, .stride = {2}, .padding = {1}, .dilation = {2, 3}}},
           {"2d ceil",
            {1, 2, 7, 6},
            {.kernel = {2, 3}, .stride = {2}, .count_padding = false, .ceil_mode = true}},
           {"2d, padding not counted",
            {1, 2, 5, 5},
            {.kernel = {3}, .stride = {2}, .padding = {1}, .count_padding = false}},
           {"2d, stride above kernel", {1, 2, 9, 9}, {.kernel = {2}, .stride = {3}}},
           {"2d of 17 channels", {1, 17, 4, 4}, {.kernel = {2}}},
           {"2d, window of more than a byte's places",
            {1, 1, 18, 18},
            {.kernel = {17}, .stride = {1}}},
           {"3d", {1, 2, 4, 5, 4}, {.kernel = {2, 3, 2}, .stride = {2}, .padding = {1}}},
           {"2d of no images", {0, 2, 4, 4}, {.kernel = {2}}}}) {
    PoolOptions o = g.options;
    auto add = [&](const char* op, std::vector<Input> inputs, const std::vector<DType>& dtypes,
                   bool second, Build build) {
      cases.push_back({.op = op,
                       .name = g.name,
                       .inputs = std::move(inputs),
                       .build = std::move(build),
                       .dtypes = dtypes,
                       .second = second,
                       .tolerance = 16,
                       .of_largest = true,
                       .magnitude = 2});
    };
    // Separated in bf16 too: whole numbers.
    double range = 1.0 * static_cast<double>(Shape(g.x).elements()) / 2;
    Input distinct{g.x, -range, range, Fill::separated};
    add("max_pool", {distinct}, numbers(), false,
        [o](const Tensors& in) -> Tensors { return {max_pool(in[0], o)}; });
    Tensor zeros = Tensor::from_values(
        std::vector<float>(static_cast<size_t>(Shape(g.x).elements())), Shape(g.x));
    Sizes pooled = avg_pool(zeros, o).shape().sizes();
    add("max_pool_gradient", {distinct, {pooled}}, floats(), false,
        [o](const Tensors& in) -> Tensors {
          return grad(Tensors{max_pool(in[0], o)}, {in[1]}, {in[0]});
        });
    cases.back().grad = false;
    add("avg_pool", {{g.x}}, floats(), true,
        [o](const Tensors& in) -> Tensors { return {avg_pool(in[0], o)}; });
    add("avg_pool_gradient", {{g.x}, {pooled}}, floats(), true, [o](const Tensors& in) -> Tensors {
      return grad(Tensors{avg_pool(in[0], o)}, {in[1]}, {in[0]});
    });
  }
  struct Adaptive {
    Sizes x, to;
  };
  for (const Adaptive& a : std::vector<Adaptive>{
           {{2, 3, 6, 4}, {3, 2}}, {{1, 2, 7, 5}, {3, 4}}, {{2, 2, 5, 5}, {1}}, {{1, 2, 7}, {3}}}) {
    bool divides = true;
    for (size_t d = 2; d < a.x.size(); ++d)
      divides = divides && a.x[d] % a.to[std::min(d - 2, a.to.size() - 1)] == 0;
    cases.push_back({.op = divides ? "avg_pool" : "reduce_sum",
                     .name = "adaptive " + text(a.x) + " to " + text(a.to),
                     .inputs = {{a.x}},
                     .build = [to = a.to](const Tensors& in) -> Tensors {
                       return {adaptive_avg_pool(in[0], to)};
                     },
                     .dtypes = floats(),
                     .tolerance = 16,
                     .of_largest = true,
                     .magnitude = 2});
    cases.push_back({.op = divides ? "max_pool" : "reduce_max",
                     .name = "adaptive " + text(a.x) + " to " + text(a.to),
                     .inputs = {{a.x, -30, 30, Fill::separated}},
                     .build = [to = a.to](const Tensors& in) -> Tensors {
                       return {adaptive_max_pool(in[0], to)};
                     },
                     .dtypes = numbers(),
                     .second = false});
  }
  return cases;
}

}  // namespace wafer::op_tests
