#include "wafer/models/attention_heads.h"

#include "wafer/op/attention.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

Tensor attend_in_heads(const Tensor& query, const Tensor& key, const Tensor& value, int64_t heads,
                       bool causal, double dropout) {
  // To [batch, heads, time, width / heads].
  auto apart = [&](const Tensor& x) {
    Shape shape{x.shape()[0], x.shape()[1], heads, x.size(2) / heads};
    return transpose(reshape(x, shape), {0, 2, 1, 3});
  };
  AttentionOptions options;
  options.causal = causal;
  options.dropout = dropout;
  Tensor y = scaled_dot_product_attention(apart(query), apart(key), apart(value), options);
  return reshape(transpose(y, {0, 2, 1, 3}), query.shape());
}

}  // namespace wafer::models
