#include "tests/op/cases.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"

namespace wafer::op_tests {

std::vector<OpCase> index_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  auto add = [&](const char* op, std::string name, std::vector<Input> inputs,
                 const std::vector<DType>& dtypes, Build build) {
    cases.push_back({.op = op,
                     .name = std::move(name),
                     .inputs = std::move(inputs),
                     .build = std::move(build),
                     .dtypes = dtypes,
                     .tolerance = 16,
                     .of_largest = true,
                     .magnitude = 2});
  };
  // Indices of a dimension of size n, from its end too.
  auto indices = [](Sizes sizes, int64_t n, DType dtype = DType::i64) {
    return Input{std::move(sizes), -static_cast<double>(n), static_cast<double>(n), Fill::index,
                 dtype};
  };

  struct Take {
    Sizes x, indices;
    int axis;
    DType dtype;
  };
  for (const Take& t : std::vector<Take>{{{5, 3}, {4}, 0, DType::i64},
                                         {{5, 3}, {2, 2}, 1, DType::i32},
                                         {{2, 6, 3}, {7}, 1, DType::i64},
                                         {{9}, {3, 2}, 0, DType::i32},
                                         {{4, 2}, {}, 0, DType::i64},
                                         {{4, 2}, {0}, 0, DType::i64},
                                         {{3, 0}, {2}, 0, DType::i64},
                                         {{40, 33}, {50}, 0, DType::i64}}) {
    int64_t n = t.x[static_cast<size_t>(t.axis)];
    std::string name = str(text(t.x), " at ", text(t.indices), " along ", t.axis);
    add("gather", name, {{t.x}, indices(t.indices, n, t.dtype)}, all_dtypes(),
        [axis = t.axis](const Tensors& in) -> Tensors { return {gather(in[0], in[1], axis)}; });
    Sizes updates(t.x.begin(), t.x.begin() + t.axis);
    updates.insert(updates.end(), t.indices.begin(), t.indices.end());
    updates.insert(updates.end(), t.x.begin() + t.axis + 1, t.x.end());
    add("scatter_add", name, {{t.x}, indices(t.indices, n, t.dtype), {updates}}, numbers(),
        [axis = t.axis](const Tensors& in) -> Tensors {
          return {scatter_add(in[0], in[1], in[2], axis)};
        });
  }
  add("gather", "embedding", {{{10, 4}}, {{3, 2}, 0, 10, Fill::index, DType::i64}}, floats(),
      [](const Tensors& in) -> Tensors { return {embedding(in[0], in[1])}; });
  add("equal", "one_hot", {{{3, 2}, 0, 5, Fill::index, DType::i64}}, all_dtypes(),
      [](const Tensors& in) -> Tensors {
        return {one_hot(in[0], 5), one_hot(in[0], 5, DType::boolean)};
      });
  cases.back().grad = false;

  for (const Take& t : std::vector<Take>{{{4, 5}, {4, 3}, 1, DType::i64},
                                         {{4, 5}, {7, 5}, 0, DType::i32},
                                         {{3, 4, 2}, {2, 6, 1}, 1, DType::i64},
                                         {{6}, {4}, 0, DType::i64},
                                         {{3, 2}, {0, 2}, 0, DType::i64}}) {
    int64_t n = t.x[static_cast<size_t>(t.axis)];
    std::string name = str(text(t.x), " at ", text(t.indices), " along ", t.axis);
    add("gather_elements", name, {{t.x}, indices(t.indices, n, t.dtype)}, all_dtypes(),
        [axis = t.axis](const Tensors& in) -> Tensors {
          return {gather_elements(in[0], in[1], axis)};
        });
    add("scatter_elements", name + ", added", {{t.x}, indices(t.indices, n, t.dtype), {t.indices}},
        numbers(), [axis = t.axis](const Tensors& in) -> Tensors {
          return {scatter_elements(in[0], in[1], in[2], axis, true)};
        });
    add("scatter_elements", name + ", set", {{t.x}, indices(t.indices, n, t.dtype), {t.indices}},
        all_dtypes(), [axis = t.axis](const Tensors& in) -> Tensors {
          return {scatter_elements(in[0], in[1], in[2], axis)};
        });
    // Of equal indices the last wins, while the gradient reaches all of them.
    cases.back().grad = false;
  }
  add("scatter_elements", "set at a permutation",
      {{{3, 6}}, {{3, 6}, -1, 1, Fill::separated}, {{3, 6}}}, floats(),
      [](const Tensors& in) -> Tensors {
        return {scatter_elements(in[0], sort(in[1], 1).indices, in[2], 1)};
      });

  for (bool descending : {false, true}) {
    for (const auto& [sizes, axis] : std::vector<std::pair<Sizes, int>>{{{9}, 0},
                                                                        {{4, 7}, 1},
                                                                        {{6, 3}, 0},
                                                                        {{2, 5, 3}, 1},
                                                                        {{1}, 0},
                                                                        {{3, 0}, 1},
                                                                        {{2, 130}, 1}}) {
      std::string name = str(text(sizes), " along ", axis, descending ? ", descending" : "");
      Build build = [axis = axis, descending](const Tensors& in) -> Tensors {
        auto [values, order] = sort(in[0], axis, descending);
        return {values, order};
      };
      add("sort", name, {{sizes, -4, 4, Fill::separated}}, all_dtypes(), build);
      // Equal elements keep their order.
      add("sort", name + ", equal elements", {{sizes, -2, 3, Fill::index}}, all_dtypes(), build);
      cases.back().grad = false;
    }
  }
  add("sort", "topk", {{{3, 8}, -4, 4, Fill::separated}}, floats(),
      [](const Tensors& in) -> Tensors {
        SortResult largest = topk(in[0], 3), smallest = topk(in[0], 2, 0, false);
        return {largest.values, largest.indices, smallest.values, smallest.indices};
      });
  return cases;
}

}  // namespace wafer::op_tests
