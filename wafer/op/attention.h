#pragma once
#include <optional>
#include <tuple>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

namespace wafer {

struct AttentionOptions {
  // Broadcasts to [..., queries, keys]. Boolean: true takes part; else numbers added to the scores.
  Tensor mask;
  bool causal = false;          // query i sees keys 0 to i; may go with a mask
  std::optional<double> scale;  // of the scores; without, 1 / sqrt(width)
  double dropout = 0;           // probability of zeroing an attention weight
  // Query, key, value and result are [..., positions, heads, width], as one projection for all
  // heads leaves them, in place of [..., heads, positions, width]. Not the mask.
  bool heads_inside = false;
};

// softmax(query key^T scale + mask) value (Vaswani et al. 2017). query: [..., queries, width], key:
// [..., keys, width], value: [..., keys, value width]; the dimensions before broadcast. Floating,
// of one dtype. A query that may see no key gives 0, as in PyTorch.
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const AttentionOptions& options = {});

// Op scaled_dot_product_attention: query, key, value of equal leading dimensions and, if any, the
// mask. Op scaled_dot_product_attention_gradient: the gradient by the result, then the same;
// outputs are the gradients by query, key and value, for which the weights are computed again.
struct AttentionAttrs {
  double scale = 1;
  bool causal = false;
  bool heads_inside = false;
  static constexpr auto fields() {
    return std::make_tuple(Field{"scale", &AttentionAttrs::scale},
                           Field{"causal", &AttentionAttrs::causal},
                           Field{"heads_inside", &AttentionAttrs::heads_inside});
  }
};

// What a query, key, value or result consists of.
struct AttentionShape {
  Shape leading;  // of batches and heads
  Dim positions, width;

  AttentionShape(const Shape& shape, bool heads_inside);
};

}  // namespace wafer
