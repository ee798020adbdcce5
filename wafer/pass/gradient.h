#pragma once
#include <vector>

#include "wafer/ir/tensor.h"

namespace wafer {

enum class Leaves {
  total,  // d output / d wrt along every path, also through other values of `wrt`
  cut     // values of `wrt` are independent variables
};

// Reverse-mode differentiation: gradients of sum_i <outputs[i], output_gradients[i]> by each of
// `wrt`, as nodes. An empty tensor where the outputs do not depend on it. Each new node has the
// module path of the node that it is the gradient of. An op without a vjp is differentiated through
// its decomposition; UserError naming the op when it has neither.
std::vector<Tensor> gradient(const std::vector<Tensor>& outputs,
                             const std::vector<Tensor>& output_gradients,
                             const std::vector<Tensor>& wrt, Leaves leaves = Leaves::total);

}  // namespace wafer
