#include "wafer/models/attention_heads.h"

#include "wafer/op/attention.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

Tensor attend_in_heads(const Tensor& query, const Tensor& key, const Tensor& value, int64_t heads,
                       bool causal, double dropout) {
  // To [batch, time, heads, width / heads].
  auto apart = [&](const Tensor& x) {
    return reshape(x, Shape{x.shape()[0], x.shape()[1], heads, x.size(2) / heads});
  };
  AttentionOptions options;
  options.causal = causal;
  options.dropout = dropout;
  options.heads_inside = true;
  Tensor y = scaled_dot_product_attention(apart(query), apart(key), apart(value), options);
  return reshape(y, query.shape());
}

}  // namespace wafer::models
