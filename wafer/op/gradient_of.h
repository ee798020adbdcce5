#pragma once
#include <vector>

#include "wafer/ir/tensor.h"

namespace wafer {

// Gradients of sum_i <outputs[i], output_gradients[i]> by each of `wrt`, as new nodes of the same
// graph. Values of `wrt` are leaves: nothing is propagated through one to another. An empty tensor
// where an output does not depend on it. Defined in pass/gradient.cpp, since only passes know how
// to walk a graph backwards.
std::vector<Tensor> gradient_of(const std::vector<Tensor>& outputs,
                                const std::vector<Tensor>& output_gradients,
                                const std::vector<Tensor>& wrt);

}  // namespace wafer
