#pragma once
#include "wafer/ir/tensor.h"

// Normalised exponentials along one axis. Integers count as f32; a row of only -inf gives NaN, an
// empty axis an empty tensor.
namespace wafer {

Tensor softmax(const Tensor& x, int axis = -1);      // exp(x) / sum(exp(x))
Tensor log_softmax(const Tensor& x, int axis = -1);  // x - log(sum(exp(x)))

}  // namespace wafer
