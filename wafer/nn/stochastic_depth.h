#pragma once
#include "wafer/nn/module.h"

namespace wafer::nn {

// Huang et al. 2016. In training: whole samples of x [batch, ...] zeroed with the probability, the
// others scaled by 1 / (1 - probability); for the branch of a residual block.
class StochasticDepth : public UnaryModule {
 public:
  explicit StochasticDepth(double probability);
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

 private:
  double probability_;
};

}  // namespace wafer::nn
