#pragma once
#include <tuple>
#include <vector>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

namespace wafer {

struct PoolAttrs {
  std::vector<int64_t> kernel, stride, padding_low, padding_high, dilation;
  bool count_padding = true;  // avg_pool: padded elements count in the divisor
  static constexpr auto fields() {
    return std::make_tuple(Field{"kernel", &PoolAttrs::kernel}, Field{"stride", &PoolAttrs::stride},
                           Field{"padding_low", &PoolAttrs::padding_low},
                           Field{"padding_high", &PoolAttrs::padding_high},
                           Field{"dilation", &PoolAttrs::dilation},
                           Field{"count_padding", &PoolAttrs::count_padding});
  }
};

struct PoolGradientAttrs {
  std::vector<int64_t> kernel, stride, padding_low, padding_high, dilation;
  bool count_padding = true;
  Shape shape;  // of the pooled input
  static constexpr auto fields() {
    return std::make_tuple(Field{"kernel", &PoolGradientAttrs::kernel},
                           Field{"stride", &PoolGradientAttrs::stride},
                           Field{"padding_low", &PoolGradientAttrs::padding_low},
                           Field{"padding_high", &PoolGradientAttrs::padding_high},
                           Field{"dilation", &PoolGradientAttrs::dilation},
                           Field{"count_padding", &PoolGradientAttrs::count_padding},
                           Field{"shape", &PoolGradientAttrs::shape});
  }
};

struct PoolOptions {
  std::vector<int64_t> kernel;
  std::vector<int64_t> stride = {};  // empty: the kernel
  std::vector<int64_t> padding = {0}, dilation = {1};
  bool count_padding = true, ceil_mode = false;
};

// Pooling of x [batch, channels, spatial...]. One number stands for all spatial dimensions.
Tensor max_pool(const Tensor& x, const PoolOptions& options);
Tensor avg_pool(const Tensor& x, const PoolOptions& options);
Tensor max_pool2d(const Tensor& x, int64_t kernel, int64_t stride = 0, int64_t padding = 0);
Tensor avg_pool2d(const Tensor& x, int64_t kernel, int64_t stride = 0, int64_t padding = 0);
// To the given spatial sizes: output i covers elements floor(i n / m) to ceil((i + 1) n / m).
Tensor adaptive_avg_pool(const Tensor& x, const std::vector<int64_t>& sizes);
Tensor adaptive_max_pool(const Tensor& x, const std::vector<int64_t>& sizes);

}  // namespace wafer
