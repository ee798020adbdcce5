#pragma once
#include <tuple>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

namespace wafer {

// Matrix product over the last two dimensions; the others broadcast. A vector operand is a row
// (left) or a column (right), and that dimension vanishes, as in PyTorch. f16 and bf16 accumulate
// in f32.
Tensor matmul(const Tensor& a, const Tensor& b);
// The same with either operand's last two dimensions exchanged first, without moving memory.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b);
// x [..., in] times weight [out, in] transposed, plus bias [out] unless empty: PyTorch's linear.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

struct MatmulAttrs {
  bool transpose_a = false, transpose_b = false;
  static constexpr auto fields() {
    return std::make_tuple(Field{"transpose_a", &MatmulAttrs::transpose_a},
                           Field{"transpose_b", &MatmulAttrs::transpose_b});
  }
};

}  // namespace wafer
