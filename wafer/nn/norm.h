#pragma once
#include <optional>

#include "wafer/nn/module.h"
#include "wafer/nn/sizes.h"

namespace wafer::nn {

struct BatchNormOptions {
  double eps = 1e-5;
  // running = (1 - momentum) running + momentum batch; empty: the plain average of all batches.
  std::optional<double> momentum = 0.1;
  bool affine = true;
  bool track_running_stats = true;  // without, evaluation normalises by the batch too
};

// Ioffe and Szegedy 2015. x [batch, channels, spatial...] (1d: also [batch, channels]) normalised
// for each channel: in training by the batch's own statistics, which move the running ones
// (variance divided by n - 1, as in PyTorch), in evaluation by the running ones.
template <int dimensions>
class BatchNorm : public UnaryModule {
 public:
  explicit BatchNorm(int64_t channels, const BatchNormOptions& options = {});
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

  Tensor weight, bias;                                    // [channels]
  Tensor running_mean, running_var, num_batches_tracked;  // [channels], [channels], scalar i64

 private:
  int64_t channels_;
  BatchNormOptions options_;
};

using BatchNorm1d = BatchNorm<1>;
using BatchNorm2d = BatchNorm<2>;
using BatchNorm3d = BatchNorm<3>;
extern template class BatchNorm<1>;
extern template class BatchNorm<2>;
extern template class BatchNorm<3>;

struct LayerNormOptions {
  double eps = 1e-5;
  bool affine = true;  // weight and bias
  bool bias = true;
};

// Ba et al. 2016: x normalised over its last dimensions, which are `normalised`.
class LayerNorm : public UnaryModule {
 public:
  explicit LayerNorm(Sizes normalised, const LayerNormOptions& options = {});
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

  Tensor weight, bias;

 private:
  Sizes normalised_;
  double eps_;
};

struct RMSNormOptions {
  std::optional<double> eps;  // empty: the distance from 1 to the next number of x's dtype
  bool affine = true;
};

// Zhang and Sennrich 2019: x / sqrt(mean(x^2) + eps) over its last dimensions.
class RMSNorm : public UnaryModule {
 public:
  explicit RMSNorm(Sizes normalised, const RMSNormOptions& options = {});
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

  Tensor weight;

 private:
  Sizes normalised_;
  std::optional<double> eps_;
};

struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;
};

// Wu and He 2018: x [batch, channels, ...] normalised for each group of channels of a sample.
class GroupNorm : public UnaryModule {
 public:
  GroupNorm(int64_t groups, int64_t channels, const GroupNormOptions& options = {});
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

  Tensor weight, bias;

 private:
  int64_t groups_, channels_;
  double eps_;
};

}  // namespace wafer::nn
