#pragma once
#include <vector>

#include "wafer/ir/tensor.h"

// What is done to gradients and weights around an optimiser's update, as parts of the graph.
namespace wafer::optim {

struct Clipped {
  std::vector<Tensor> gradients;
  Tensor norm;  // scalar f32, before clipping
};

// The Euclidean norm of all tensors' elements together: scalar f32.
Tensor global_norm(const std::vector<Tensor>& tensors);
// Scales all gradients by min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_.
Clipped clip_by_global_norm(const std::vector<Tensor>& gradients, double max_norm);
// Limits each element to [-limit, limit].
std::vector<Tensor> clip_by_value(const std::vector<Tensor>& gradients, double limit);

// Exponential moving average of weights: decay average + (1 - decay) parameter.
Tensor exponential_moving_average(const Tensor& average, const Tensor& parameter, double decay);

}  // namespace wafer::optim
