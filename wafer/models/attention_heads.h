#pragma once
#include "wafer/ir/tensor.h"

namespace wafer::models {

// Attention of `heads` heads on query, key and value [batch, time, width]: [batch, time, width].
// `dropout`: of attention weights.
Tensor attend_in_heads(const Tensor& query, const Tensor& key, const Tensor& value, int64_t heads,
                       bool causal, double dropout);

}  // namespace wafer::models
