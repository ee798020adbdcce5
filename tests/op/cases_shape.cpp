#include "tests/op/cases.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/shape_ops.h"

namespace wafer::op_tests {

std::vector<OpCase> shape_cases() {
  std::vector<OpCase> cases;
  auto add = [&](const char* op, const char* name, std::vector<Sizes> sizes, Build build) {
    std::vector<Input> inputs;
    for (Sizes& each : sizes) inputs.push_back({std::move(each)});
    cases.push_back({.op = op,
                     .name = name,
                     .inputs = std::move(inputs),
                     .build = std::move(build),
                     .dtypes = all_dtypes()});
  };
  using In = std::vector<Tensor>;
  using Out = std::vector<Tensor>;
  // A reshape alone is a view; behind another op it also meets computed values.
  add("reshape", "3x4 to 2x6", {{3, 4}}, [](const In& in) -> Out {
    return {reshape(in[0], Sizes{2, 6})};
  });
  add("reshape", "of a transpose", {{3, 4}}, [](const In& in) -> Out {
    return {reshape(transpose(in[0], {1, 0}), Sizes{-1})};
  });
  add("reshape", "scalar to 1x1", {{}}, [](const In& in) -> Out {
    return {reshape(in[0], Sizes{1, 1})};
  });
  add("reshape", "empty", {{0, 3}}, [](const In& in) -> Out {
    return {reshape(in[0], Sizes{3, 0, 2})};
  });

  add("transpose", "matrix", {{5, 7}}, [](const In& in) -> Out {
    return {transpose(in[0], {1, 0})};
  });
  add("transpose", "matrix beyond a tile", {{67, 131}}, [](const In& in) -> Out {
    return {transpose(in[0], {1, 0})};
  });
  add("transpose", "four dimensions", {{2, 3, 4, 5}}, [](const In& in) -> Out {
    return {transpose(in[0], {0, 2, 3, 1}), transpose(in[0], {3, 1, 0, 2})};
  });
  add("transpose", "with a dimension of 1", {{3, 1, 4}}, [](const In& in) -> Out {
    return {transpose(in[0], {2, 1, 0})};
  });
  add("transpose", "empty", {{0, 3}}, [](const In& in) -> Out {
    return {transpose(in[0], {1, 0})};
  });
  add("transpose", "eight dimensions", {{2, 1, 2, 3, 1, 2, 2, 1}}, [](const In& in) -> Out {
    return {transpose(in[0], {7, 3, 5, 1, 6, 0, 4, 2})};
  });

  add("broadcast_to", "rows", {{1, 4}}, [](const In& in) -> Out {
    return {broadcast_to(in[0], Shape{3, 4})};
  });
  add("broadcast_to", "columns", {{3, 1}}, [](const In& in) -> Out {
    return {broadcast_to(in[0], Shape{3, 67})};
  });
  add("broadcast_to", "scalar", {{}}, [](const In& in) -> Out {
    return {broadcast_to(in[0], Shape{2, 3})};
  });
  add("broadcast_to", "middle", {{2, 1, 3}}, [](const In& in) -> Out {
    return {broadcast_to(in[0], Shape{4, 2, 5, 3})};
  });
  add("broadcast_to", "to empty", {{1, 3}}, [](const In& in) -> Out {
    return {broadcast_to(in[0], Shape{0, 3})};
  });

  add("slice", "steps", {{7, 9}}, [](const In& in) -> Out {
    return {slice(in[0], {1, 2}, {6, 9}, {2, 3})};
  });
  add("slice", "narrow", {{4, 6, 5}}, [](const In& in) -> Out {
    return {narrow(in[0], 1, 2, 5), narrow(in[0], -1, -2, 100), narrow(in[0], 0, 1, 2)};
  });
  add("slice", "nothing", {{4, 6}}, [](const In& in) -> Out { return {narrow(in[0], 1, 3, 3)}; });
  add("slice", "split", {{5, 4}}, [](const In& in) -> Out { return split(in[0], {1, 0, 4}, 0); });
  add("slice", "chunk", {{2, 6}}, [](const In& in) -> Out { return chunk(in[0], 3, 1); });

  add("pad", "around", {{3, 4}}, [](const In& in) -> Out {
    return {pad(in[0], {1, 0}, {2, 3}, 1)};
  });
  add("pad", "between", {{3, 4}}, [](const In& in) -> Out {
    return {pad(in[0], {0, 1}, {1, 0}, 0, {1, 2})};
  });
  add("pad", "cuts off", {{5, 4}}, [](const In& in) -> Out {
    return {pad(in[0], {-1, 2}, {-2, -1}, 1)};
  });
  add("pad", "cuts off between", {{5, 4}}, [](const In& in) -> Out {
    return {pad(in[0], {-1, -2}, {-2, 1}, 0, {1, 2})};
  });
  add("pad", "empty", {{0, 2}}, [](const In& in) -> Out {
    return {pad(in[0], {2, 0}, {1, 1}, 1)};
  });
  add("pad", "images", {{2, 3, 4, 4}}, [](const In& in) -> Out {
    return {pad(in[0], {0, 0, 1, 1}, {0, 0, 1, 1})};
  });

  add("flip", "one axis", {{3, 67}}, [](const In& in) -> Out { return {flip(in[0], {1})}; });
  add("flip", "two axes", {{3, 2, 4}}, [](const In& in) -> Out { return {flip(in[0], {0, -1})}; });
  add("flip", "empty", {{3, 0}}, [](const In& in) -> Out { return {flip(in[0], {0})}; });

  add("concat", "rows", {{2, 3}, {1, 3}, {4, 3}},
      [](const In& in) -> Out { return {concat(in, 0)}; });
  add("concat", "columns", {{3, 2}, {3, 5}}, [](const In& in) -> Out { return {concat(in, 1)}; });
  add("concat", "channels", {{2, 1, 3, 2}, {2, 4, 3, 2}},
      [](const In& in) -> Out { return {concat(in, 1)}; });
  add("concat", "one part is empty", {{0, 2}, {3, 2}},
      [](const In& in) -> Out { return {concat(in, 0)}; });
  add("concat", "of one value twice", {{2, 3}}, [](const In& in) -> Out {
    return {concat({in[0], in[0]}, 0)};
  });
  add("concat", "stack", {{2, 3}, {2, 3}}, [](const In& in) -> Out {
    return {stack(in, 0), stack(in, 1), stack(in, -1)};
  });

  auto add_dynamic = [&](const char* op, const char* name, std::vector<Sizes> sizes, int64_t rank,
                         Build build) {
    add(op, name, std::move(sizes), std::move(build));
    // Starts before, inside and behind, so that they are clamped.
    cases.back().inputs.push_back({{rank}, -4, 9, Fill::index, DType::i64});
  };
  add_dynamic("dynamic_slice", "matrix", {{6, 7}}, 2, [](const In& in) -> Out {
    return {dynamic_slice(in[0], in[1], {2, 3})};
  });
  add_dynamic("dynamic_slice", "whole", {{3, 2, 4}}, 3, [](const In& in) -> Out {
    return {dynamic_slice(in[0], in[1], {3, 1, 4})};
  });
  add_dynamic("dynamic_slice", "nothing", {{3}}, 1,
              [](const In& in) -> Out { return {dynamic_slice(in[0], in[1], {0})}; });
  add_dynamic("dynamic_update_slice", "matrix", {{6, 7}, {2, 3}}, 2,
              [](const In& in) -> Out { return {dynamic_update_slice(in[0], in[1], in[2])}; });
  add_dynamic("dynamic_update_slice", "vector", {{9}, {4}}, 1,
              [](const In& in) -> Out { return {dynamic_update_slice(in[0], in[1], in[2])}; });
  add_dynamic("dynamic_update_slice", "with nothing", {{4, 2}, {0, 2}}, 2,
              [](const In& in) -> Out { return {dynamic_update_slice(in[0], in[1], in[2])}; });
  // Of a computed value, which a device may overwrite in place.
  add_dynamic(
      "dynamic_update_slice", "of a computed value", {{8, 3}, {1, 3}}, 2, [](const In& in) -> Out {
        return {dynamic_update_slice(transpose(transpose(in[0], {1, 0}), {1, 0}), in[1], in[2])};
      });

  for (DType dtype : numbers()) {
    cases.push_back({.op = "iota",
                     .name = std::string(name(dtype)),
                     .inputs = {},
                     .build = [dtype](const In&) -> Out {
                       return {iota(Shape{3, 4}, 0, dtype), iota(Shape{2, 3, 5}, 2, dtype),
                               arange(67, dtype), iota(Shape{0, 3}, 1, dtype)};
                     },
                     .dtypes = only(dtype),
                     .grad = false});
  }
  add("broadcast_to", "full", {{2, 3}}, [](const In& in) -> Out {
    return {zeros_like(in[0]), ones_like(in[0])};
  });
  add("where", "triangles", {{2, 4, 5}}, [](const In& in) -> Out {
    return {tril(in[0]), tril(in[0], -1), triu(in[0], 1), triu(in[0])};
  });
  cases.back().dtypes = numbers();
  return cases;
}

}  // namespace wafer::op_tests
