#pragma once
#include <functional>
#include <vector>

#include "wafer/ir/tensor.h"

namespace wafer {

// Gradients of a scalar loss by each of `wrt`, lazily: zeros where the loss does not depend on it.
// The results are tensors like any other, so gradients of gradients are taken by calling again.
std::vector<Tensor> grad(const Tensor& loss, const std::vector<Tensor>& wrt);
// Gradients of sum_i <outputs[i], output_gradients[i]>.
std::vector<Tensor> grad(const std::vector<Tensor>& outputs,
                         const std::vector<Tensor>& output_gradients,
                         const std::vector<Tensor>& wrt);

}  // namespace wafer
