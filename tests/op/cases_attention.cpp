#include <algorithm>

#include "tests/op/cases.h"
#include "wafer/op/attention.h"
#include "wafer/op/op.h"

namespace wafer::op_tests {

std::vector<OpCase> attention_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  struct Case {
    const char* name;
    Sizes query, key, value;
    AttentionOptions options;
    Sizes mask = {};  // empty: none
    std::optional<DType> mask_dtype = {};
    bool grad = true;
  };
  for (const Case& k : std::vector<Case>{
           {"plain", {2, 3, 5, 4}, {2, 3, 6, 4}, {2, 3, 6, 4}, {}},
           {"values of another width", {3, 4}, {5, 4}, {5, 7}, {}},
           {"causal", {2, 5, 4}, {2, 5, 4}, {2, 5, 4}, {.causal = true}},
           {"causal, more keys than queries", {3, 4}, {5, 4}, {5, 4}, {.causal = true}},
           {"scaled", {2, 3, 4}, {2, 3, 4}, {2, 3, 4}, {.scale = 0.25}},
           {"boolean mask", {2, 2, 4, 3}, {2, 2, 5, 3}, {2, 2, 5, 3}, {}, {4, 5}, DType::boolean},
           {"added mask, causal", {2, 4, 3}, {2, 4, 3}, {2, 4, 3}, {.causal = true}, {2, 4, 4}},
           {"one query", {1, 8}, {1, 8}, {1, 8}, {}},
           {"no batches", {0, 3, 4}, {0, 3, 4}, {0, 3, 4}, {}},
           {"mask for each batch", {2, 3, 4, 3}, {2, 3, 5, 3}, {2, 3, 5, 3}, {}, {2, 1, 4, 1}},
           {"mask of keys for each head",
            {2, 3, 4, 3},
            {2, 3, 5, 3},
            {2, 3, 5, 3},
            {},
            {3, 1, 5},
            DType::boolean},
           {"heads inside", {2, 5, 3, 4}, {2, 6, 3, 4}, {2, 6, 3, 4}, {.heads_inside = true}},
           {"heads inside, causal, values of another width",
            {5, 2, 4},
            {5, 2, 4},
            {5, 2, 7},
            {.causal = true, .heads_inside = true}},
           {"heads inside, mask of keys for each head",
            {2, 4, 3, 3},
            {2, 5, 3, 3},
            {2, 5, 3, 3},
            {.heads_inside = true},
            {3, 1, 5},
            DType::boolean},
           {"one head inside, added mask",
            {2, 4, 1, 3},
            {2, 5, 1, 3},
            {2, 5, 1, 3},
            {.heads_inside = true},
            {2, 1, 4, 5}},
           {"heads inside, 33 queries of width 16",
            {33, 2, 16},
            {33, 2, 16},
            {33, 2, 16},
            {.causal = true, .heads_inside = true}},
           {"heads inside, no batches",
            {0, 3, 2, 4},
            {0, 3, 2, 4},
            {0, 3, 2, 4},
            {.heads_inside = true}},
           {"heads inside, 70 queries, 4096 keys, causal",
            {70, 3, 3},
            {4096, 3, 3},
            {4096, 3, 2},
            {.causal = true, .heads_inside = true},
            {},
            {},
            false},
           {"heads inside, 40 queries, 4096 keys",
            {40, 2, 3},
            {4096, 2, 3},
            {4096, 2, 2},
            {.heads_inside = true},
            {},
            {},
            false},
           // More scores than are worked on together.
           {"40 queries, 4096 keys", {2, 40, 3}, {2, 4096, 3}, {2, 4096, 2}, {}, {}, {}, false},
           {"the same, causal with a mask",
            {1, 40, 3},
            {1, 4096, 3},
            {1, 4096, 2},
            {.causal = true},
            {40, 1},
            {},
            false},
           {"33 queries of width 16", {1, 33, 16}, {1, 33, 16}, {1, 33, 16}, {.causal = true}}}) {
    std::vector<Input> inputs = {{k.query}, {k.key}, {k.value}};
    if (!k.mask.empty()) inputs.push_back({k.mask, -1, 1, Fill::uniform, k.mask_dtype});
    auto options_of = [options = k.options](const Tensors& in, size_t mask) {
      AttentionOptions result = options;
      if (in.size() > mask) result.mask = in[mask];
      return result;
    };
    std::vector<Input> with_gradient = inputs;
    Sizes result = k.query;
    result.back() = k.value.back();
    with_gradient.push_back({result});
    std::rotate(with_gradient.begin(), with_gradient.end() - 1, with_gradient.end());
    cases.push_back(
        {.op = "scaled_dot_product_attention_gradient",
         .name = k.name,
         .inputs = std::move(with_gradient),
         .build = [options_of](const Tensors& in) -> Tensors {
           Tensors rest(in.begin() + 1, in.end());
           Tensor y = scaled_dot_product_attention(rest[0], rest[1], rest[2], options_of(rest, 3));
           return make_node(op::scaled_dot_product_attention_gradient, in, y.node().attrs);
         },
         .dtypes = floats(),
         .grad = k.grad,
         .second = false,
         .tolerance = 64,
         .of_largest = true,
         .magnitude = 4});
    cases.push_back({.op = "scaled_dot_product_attention",
                     .name = k.name,
                     .inputs = std::move(inputs),
                     .build = [options_of](const Tensors& in) -> Tensors {
                       return {
                           scaled_dot_product_attention(in[0], in[1], in[2], options_of(in, 3))};
                     },
                     .dtypes = floats(),
                     .grad = k.grad,
                     .tolerance = 32,
                     .of_largest = true,
                     .magnitude = 2});
  }
  return cases;
}

}  // namespace wafer::op_tests
