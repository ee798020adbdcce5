#include "wafer/models/squeeze_excitation.h"

#include "wafer/models/mlp.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/pool.h"

namespace wafer::models {

SqueezeExcitation::SqueezeExcitation(int64_t channels, int64_t squeezed,
                                     const std::string& activation, const std::string& gate)
    : fc1({.in = channels, .out = squeezed, .kernel = 1}),
      fc2({.in = squeezed, .out = channels, .kernel = 1}),
      activation_(make_activation(activation)),
      gate_(make_activation(gate)) {
  add("fc1", fc1);
  add("fc2", fc2);
  add("activation", *activation_);
  add("scale_activation", *gate_);
}

Tensor SqueezeExcitation::forward(const Tensor& x) {
  Tensor squeezed = (*activation_)(fc1(adaptive_avg_pool(x, {1, 1})));
  return x * (*gate_)(fc2(squeezed));
}

}  // namespace wafer::models
