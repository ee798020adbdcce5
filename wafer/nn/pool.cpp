#include "wafer/nn/pool.h"

#include "wafer/op/pool.h"

namespace wafer::nn::detail {

namespace {
const char* kind_name(PoolKind kind) {
  return kind == PoolKind::max ? "Max" : "Avg";
}

void check_rank(const Tensor& x, const std::string& where, int dimensions) {
  WAFER_REQUIRE(x.rank() == dimensions + 2, where, "an input of ", x.shape(),
                "; expected [batch, channels, and ", dimensions, " spatial dimension",
                dimensions == 1 ? "]" : "s]");
}
}  // namespace

Tensor pool(const Tensor& x, PoolKind kind, int dimensions, const PoolLayerOptions& o) {
  std::string where = str(kind == PoolKind::max ? "max_pool" : "avg_pool", dimensions, "d");
  check_rank(x, where, dimensions);
  auto kernel = o.kernel.spread(dimensions, where, "kernel");
  PoolOptions options{.kernel = kernel,
                      .stride = o.stride.values,
                      .padding = o.padding.values,
                      .dilation = o.dilation.values,
                      .count_padding = o.count_padding,
                      .ceil_mode = o.ceil_mode};
  for (size_t i = 0; i < kernel.size(); ++i) {
    int64_t padding = o.padding.spread(dimensions, where, "padding")[i];
    WAFER_REQUIRE(2 * padding <= kernel[i], where, "padding ", padding,
                  " is more than half of the kernel, ", kernel[i]);
  }
  return kind == PoolKind::max ? max_pool(x, options) : avg_pool(x, options);
}

Tensor adaptive_pool(const Tensor& x, PoolKind kind, int dimensions, const Sizes& sizes) {
  std::string where =
      str("adaptive_", kind == PoolKind::max ? "max" : "avg", "_pool", dimensions, "d");
  check_rank(x, where, dimensions);
  auto wanted = sizes.spread(dimensions, where, "size");
  return kind == PoolKind::max ? adaptive_max_pool(x, wanted) : adaptive_avg_pool(x, wanted);
}

std::string describe_pool(PoolKind kind, int dimensions, const PoolLayerOptions& o) {
  std::string text = str(kind_name(kind), "Pool", dimensions, "d{kernel=", o.kernel.text());
  if (!o.stride.empty()) text += ", stride=" + o.stride.text();
  if (!o.padding.is(0)) text += ", padding=" + o.padding.text();
  if (!o.dilation.is(1)) text += ", dilation=" + o.dilation.text();
  if (o.ceil_mode) text += ", ceil_mode=true";
  return text + "}";
}

std::string describe_adaptive_pool(PoolKind kind, int dimensions, const Sizes& sizes) {
  return str("Adaptive", kind_name(kind), "Pool", dimensions, "d{", sizes.text(), "}");
}

}  // namespace wafer::nn::detail
