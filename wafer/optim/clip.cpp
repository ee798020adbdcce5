#include "wafer/optim/clip.h"

#include "wafer/op/elementwise.h"
#include "wafer/op/reduce.h"

namespace wafer::optim {

Tensor global_norm(const std::vector<Tensor>& tensors) {
  Tensor total;
  for (const Tensor& x : tensors) {
    Tensor squares = reduce_sum(square(cast(x, DType::f32)));
    total = total ? total + squares : squares;
  }
  return total ? sqrt(total) : Tensor(0.0);
}

Clipped clip_by_global_norm(const std::vector<Tensor>& gradients, double max_norm) {
  WAFER_REQUIRE(max_norm > 0, "clip", "a largest norm of ", max_norm, "; expected one above 0");
  Clipped result{{}, global_norm(gradients)};
  Tensor factor = minimum(max_norm / (result.norm + 1e-6), 1.0);
  for (const Tensor& g : gradients) result.gradients.push_back(g * cast(factor, g.dtype()));
  return result;
}

std::vector<Tensor> clip_by_value(const std::vector<Tensor>& gradients, double limit) {
  WAFER_REQUIRE(limit > 0, "clip", "a limit of ", limit, "; expected one above 0");
  std::vector<Tensor> clipped;
  for (const Tensor& g : gradients) clipped.push_back(clamp(g, -limit, limit));
  return clipped;
}

Tensor exponential_moving_average(const Tensor& average, const Tensor& parameter, double decay) {
  WAFER_REQUIRE(decay >= 0 && decay <= 1, "ema", "a decay of ", decay, "; expected one in [0, 1]");
  return average * decay + parameter * (1 - decay);
}

}  // namespace wafer::optim
