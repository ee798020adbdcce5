#pragma once
#include "wafer/nn/module.h"
#include "wafer/nn/sizes.h"

namespace wafer::nn {

struct PoolLayerOptions {
  Sizes kernel;
  Sizes stride = {};  // empty: the kernel
  Sizes padding = 0, dilation = 1;
  bool ceil_mode = false;
  bool count_padding = true;  // average: padded elements count in the divisor
};

enum class PoolKind { max, average };

// Pooling of x [batch, channels, spatial...] window by window.
template <PoolKind kind, int dimensions>
class Pool : public UnaryModule {
 public:
  explicit Pool(const Sizes& kernel) : options_{.kernel = kernel} {}
  explicit Pool(PoolLayerOptions options) : options_(std::move(options)) {}
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

 private:
  PoolLayerOptions options_;
};

// To given spatial sizes: output i covers elements floor(i n / m) to ceil((i + 1) n / m).
template <PoolKind kind, int dimensions>
class AdaptivePool : public UnaryModule {
 public:
  explicit AdaptivePool(Sizes sizes) : sizes_(std::move(sizes)) {}
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

 private:
  Sizes sizes_;
};

using MaxPool1d = Pool<PoolKind::max, 1>;
using MaxPool2d = Pool<PoolKind::max, 2>;
using MaxPool3d = Pool<PoolKind::max, 3>;
using AvgPool1d = Pool<PoolKind::average, 1>;
using AvgPool2d = Pool<PoolKind::average, 2>;
using AvgPool3d = Pool<PoolKind::average, 3>;
using AdaptiveMaxPool1d = AdaptivePool<PoolKind::max, 1>;
using AdaptiveMaxPool2d = AdaptivePool<PoolKind::max, 2>;
using AdaptiveMaxPool3d = AdaptivePool<PoolKind::max, 3>;
using AdaptiveAvgPool1d = AdaptivePool<PoolKind::average, 1>;
using AdaptiveAvgPool2d = AdaptivePool<PoolKind::average, 2>;
using AdaptiveAvgPool3d = AdaptivePool<PoolKind::average, 3>;

namespace detail {
Tensor pool(const Tensor& x, PoolKind kind, int dimensions, const PoolLayerOptions& options);
Tensor adaptive_pool(const Tensor& x, PoolKind kind, int dimensions, const Sizes& sizes);
std::string describe_pool(PoolKind kind, int dimensions, const PoolLayerOptions& options);
std::string describe_adaptive_pool(PoolKind kind, int dimensions, const Sizes& sizes);
}  // namespace detail

template <PoolKind kind, int dimensions>
Tensor Pool<kind, dimensions>::forward(const Tensor& x) {
  return detail::pool(x, kind, dimensions, options_);
}
template <PoolKind kind, int dimensions>
std::string Pool<kind, dimensions>::describe() const {
  return detail::describe_pool(kind, dimensions, options_);
}
template <PoolKind kind, int dimensions>
Tensor AdaptivePool<kind, dimensions>::forward(const Tensor& x) {
  return detail::adaptive_pool(x, kind, dimensions, sizes_);
}
template <PoolKind kind, int dimensions>
std::string AdaptivePool<kind, dimensions>::describe() const {
  return detail::describe_adaptive_pool(kind, dimensions, sizes_);
}

}  // namespace wafer::nn
