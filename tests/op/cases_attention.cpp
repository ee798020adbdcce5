#include "tests/op/cases.h"
#include "wafer/op/attention.h"

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
           {"33 queries of width 16", {1, 33, 16}, {1, 33, 16}, {1, 33, 16}, {.causal = true}}}) {
    std::vector<Input> inputs = {{k.query}, {k.key}, {k.value}};
    if (!k.mask.empty()) inputs.push_back({k.mask, -1, 1, Fill::uniform, k.mask_dtype});
    cases.push_back({.op = "scaled_dot_product_attention",
                     .name = k.name,
                     .inputs = std::move(inputs),
                     .build = [options = k.options](const Tensors& in) -> Tensors {
                       AttentionOptions o = options;
                       if (in.size() > 3) o.mask = in[3];
                       return {scaled_dot_product_attention(in[0], in[1], in[2], o)};
                     },
                     .dtypes = floats(),
                     .tolerance = 32,
                     .of_largest = true,
                     .magnitude = 2});
  }
  return cases;
}

}  // namespace wafer::op_tests
