#include "wafer/op/arity.h"

#include <unordered_map>

namespace wafer {

Arity arity(const OpDef& def) {
  constexpr size_t any = std::numeric_limits<size_t>::max();
  static const std::unordered_map<const OpDef*, Arity> table = {
      {&op::input, {0, 0}},
      {&op::constant, {0, 0}},
      {&op::add, {2, 2}},
      {&op::sub, {2, 2}},
      {&op::mul, {2, 2}},
      {&op::div, {2, 2}},
      {&op::pow, {2, 2}},
      {&op::remainder, {2, 2}},
      {&op::maximum, {2, 2}},
      {&op::minimum, {2, 2}},
      {&op::equal, {2, 2}},
      {&op::not_equal, {2, 2}},
      {&op::less, {2, 2}},
      {&op::less_equal, {2, 2}},
      {&op::logical_and, {2, 2}},
      {&op::logical_or, {2, 2}},
      {&op::logical_xor, {2, 2}},
      {&op::where, {3, 3}},
      {&op::concat, {1, any}},
      {&op::dynamic_slice, {2, 2}},
      {&op::dynamic_update_slice, {3, 3}},
      {&op::matmul, {2, 2}},
      {&op::conv, {2, 2}},
      {&op::conv_input_gradient, {2, 2}},
      {&op::conv_weight_gradient, {2, 2}},
      {&op::max_pool_gradient, {2, 2}},
      {&op::iota, {0, 0}},
      {&op::gather, {2, 2}},
      {&op::scatter_add, {3, 3}},
      {&op::gather_elements, {2, 2}},
      {&op::scatter_elements, {3, 3}},
      {&op::fused, {0, any}},
      {&op::cross_entropy, {2, 3}},
      {&op::cross_entropy_gradient, {4, 5}},
      {&op::batch_norm, {3, 3}},
      {&op::batch_norm_gradient, {5, 5}},
      {&op::batch_norm_inference, {5, 5}},
      {&op::layer_norm, {1, 3}},
      {&op::layer_norm_gradient, {4, 5}},
      {&op::rms_norm, {1, 2}},
      {&op::rms_norm_gradient, {3, 4}},
      {&op::scan, {0, any}},
      {&op::while_loop, {0, any}},
      {&op::if_else, {1, any}},
      {&op::scaled_dot_product_attention, {3, 4}},
      {&op::scaled_dot_product_attention_gradient, {4, 5}},
      {&op::rnn, {6, 6}},
      {&op::lstm, {7, 7}},
      {&op::lstm_gradient, {14, 14}},
      {&op::gru, {6, 6}},
      {&op::gru_gradient, {11, 11}},
  };
  auto found = table.find(&def);
  return found == table.end() ? Arity{} : found->second;
}

}  // namespace wafer
