#include "wafer/nn/stochastic_depth.h"

#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/random.h"

namespace wafer::nn {

StochasticDepth::StochasticDepth(double probability) : probability_(probability) {
  WAFER_REQUIRE(probability >= 0 && probability <= 1, "stochastic_depth", "a probability of ",
                probability, "; expected one in [0, 1]");
}

Tensor StochasticDepth::forward(const Tensor& x) {
  if (!training() || probability_ == 0) return x;
  WAFER_REQUIRE(x.rank() >= 1, "stochastic_depth", "the input is a scalar; expected [batch, ...]");
  std::vector<Dim> dims(static_cast<size_t>(x.rank()), Dim(1));
  dims[0] = x.shape()[0];
  return x * dropout(ones(Shape(dims), x.dtype()), probability_);
}

std::string StochasticDepth::describe() const {
  return str("StochasticDepth{", probability_, "}");
}

}  // namespace wafer::nn
