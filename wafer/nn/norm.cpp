#include "wafer/nn/norm.h"

#include "wafer/op/elementwise.h"
#include "wafer/op/norm.h"

namespace wafer::nn {

namespace {
void check_channels(const Tensor& x, int64_t channels, const std::string& where) {
  if (x.rank() >= 2 && x.shape()[1] == Dim(channels)) return;
  std::string hint;
  if (x.rank() >= 2) hint = str("make the layer for ", x.shape()[1], " channels");
  throw UserError(where, str("the layer normalises ", channels, " channels"),
                  {.got = str("input ", x.shape()),
                   .expected = str("[batch, ", channels, ", ...]"),
                   .hint = hint});
}

void check_last(const Tensor& x, const Sizes& normalised, const std::string& where) {
  auto count = static_cast<int>(normalised.values.size());
  bool fits = x.rank() >= count;
  for (int i = 0; fits && i < count; ++i) {
    fits = x.shape()[x.rank() - count + i] == Dim(normalised.values[static_cast<size_t>(i)]);
  }
  if (fits) return;
  throw UserError(where, str("the layer normalises last dimensions of ", normalised.text()),
                  {.got = str("input ", x.shape()),
                   .expected = str("[..., ", normalised.text(), "]"),
                   .hint = ""});
}
}  // namespace

template <int dimensions>
BatchNorm<dimensions>::BatchNorm(int64_t channels, const BatchNormOptions& options)
    : channels_(channels), options_(options) {
  WAFER_REQUIRE(channels > 0, "batch_norm", channels, " channels; expected at least 1");
  Shape shape{channels};
  if (options.affine) {
    parameter("weight", weight, shape, init::ones());
    parameter("bias", bias, shape, init::zeros());
  }
  if (options.track_running_stats) {
    buffer("running_mean", running_mean, shape, init::zeros());
    buffer("running_var", running_var, shape, init::ones());
    num_batches_tracked = Tensor(int64_t{0});
    buffer("num_batches_tracked", num_batches_tracked);
  }
}

template <int dimensions>
Tensor BatchNorm<dimensions>::forward(const Tensor& x) {
  std::string where = str("batch_norm", dimensions, "d");
  bool rank_fits = x.rank() == dimensions + 2 || (dimensions == 1 && x.rank() == 2);
  WAFER_REQUIRE(rank_fits, where, "an input of ", x.shape(), "; expected [batch, ", channels_,
                dimensions == 1 ? "] or [batch, channels, length]" : ", spatial dimensions]");
  check_channels(x, channels_, where);
  bool track = options_.track_running_stats;
  if (!training() && track) {
    return batch_norm_inference(x, running_mean, running_var, weight, bias, options_.eps);
  }
  BatchNormResult result = batch_norm(x, weight, bias, options_.eps);
  if (training() && track) {
    num_batches_tracked = num_batches_tracked + Tensor(int64_t{1});
    Tensor share = options_.momentum ? Tensor(*options_.momentum)
                                     : 1.0 / cast(num_batches_tracked, DType::f32);
    running_mean = running_mean + (result.mean - running_mean) * share;
    running_var = running_var + (result.unbiased_variance - running_var) * share;
  }
  return result.y;
}

template <int dimensions>
std::string BatchNorm<dimensions>::describe() const {
  return str("BatchNorm", dimensions, "d{", channels_, "}");
}

template class BatchNorm<1>;
template class BatchNorm<2>;
template class BatchNorm<3>;

LayerNorm::LayerNorm(Sizes normalised, const LayerNormOptions& options)
    : normalised_(std::move(normalised)), eps_(options.eps) {
  if (!options.affine) return;
  parameter("weight", weight, Shape(normalised_.values), init::ones());
  if (options.bias) parameter("bias", bias, Shape(normalised_.values), init::zeros());
}
Tensor LayerNorm::forward(const Tensor& x) {
  check_last(x, normalised_, "layer_norm");
  return layer_norm(x, normalised_.values, weight, bias, eps_);
}
std::string LayerNorm::describe() const {
  return str("LayerNorm{", normalised_.text(), "}");
}

RMSNorm::RMSNorm(Sizes normalised, const RMSNormOptions& options)
    : normalised_(std::move(normalised)), eps_(options.eps) {
  if (options.affine) parameter("weight", weight, Shape(normalised_.values), init::ones());
}
Tensor RMSNorm::forward(const Tensor& x) {
  check_last(x, normalised_, "rms_norm");
  return rms_norm(x, normalised_.values, weight, eps_);
}
std::string RMSNorm::describe() const {
  return str("RMSNorm{", normalised_.text(), "}");
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, const GroupNormOptions& options)
    : groups_(groups), channels_(channels), eps_(options.eps) {
  WAFER_REQUIRE(groups > 0 && channels > 0 && channels % groups == 0, "group_norm", groups,
                " groups do not divide ", channels, " channels");
  if (!options.affine) return;
  parameter("weight", weight, Shape{channels}, init::ones());
  parameter("bias", bias, Shape{channels}, init::zeros());
}
Tensor GroupNorm::forward(const Tensor& x) {
  check_channels(x, channels_, "group_norm");
  return group_norm(x, groups_, weight, bias, eps_);
}
std::string GroupNorm::describe() const {
  return str("GroupNorm{", groups_, ", ", channels_, "}");
}

}  // namespace wafer::nn
