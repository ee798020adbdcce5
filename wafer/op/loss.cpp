#include "wafer/op/loss.h"

#include "wafer/op/activation.h"
#include "wafer/op/composite.h"
#include "wafer/op/elementwise.h"

namespace wafer {

namespace {
Tensor reduced(const Tensor& loss, Reduction reduction, const char* op) {
  switch (reduction) {
    case Reduction::mean: return loss.rank() == 0 ? loss : mean_over(loss);
    case Reduction::sum: return reduce_sum(loss);
    case Reduction::none: return loss;
    default: throw UserError(op, "reduction batch_mean is for kl_div alone");
  }
}

void require_same_shape(const char* op, const Tensor& prediction, const Tensor& target) {
  WAFER_REQUIRE(prediction && target, op, "the prediction or the target is an empty tensor");
  if (prediction.shape() == target.shape()) return;
  bool one_more = prediction.rank() == target.rank() + 1 && prediction.shape()[-1] == Dim(1);
  throw UserError(op, "prediction and target differ in shape",
                  {.got = str(prediction.shape(), " and ", target.shape()),
                   .expected = "equal shapes",
                   .hint = one_more ? "squeeze(prediction, -1), or broadcast_to one of them"
                                    : "broadcast_to one of them if that is meant"});
}

// prediction - target in a floating dtype.
Tensor distance(const char* op, const Tensor& prediction, const Tensor& target) {
  require_same_shape(op, prediction, target);
  return as_real(prediction) - as_real(target);
}

// d^2 / 2 near zero, delta (|d| - delta / 2) elsewhere, by |d| = magnitude.
Tensor huber(const Tensor& d, double delta) {
  Tensor magnitude = abs(d);
  return where(less(magnitude, delta), square(d) * 0.5, (magnitude - 0.5 * delta) * delta);
}
}  // namespace

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Reduction reduction) {
  return reduced(square(distance("mse_loss", prediction, target)), reduction, "mse_loss");
}

Tensor l1_loss(const Tensor& prediction, const Tensor& target, Reduction reduction) {
  return reduced(abs(distance("l1_loss", prediction, target)), reduction, "l1_loss");
}

Tensor huber_loss(const Tensor& prediction, const Tensor& target, double delta,
                  Reduction reduction) {
  WAFER_REQUIRE(delta > 0, "huber_loss", "a delta of ", delta, "; expected a positive number");
  return reduced(huber(distance("huber_loss", prediction, target), delta), reduction, "huber_loss");
}

Tensor smooth_l1_loss(const Tensor& prediction, const Tensor& target, double beta,
                      Reduction reduction) {
  WAFER_REQUIRE(beta >= 0, "smooth_l1_loss", "a beta of ", beta, "; expected none below 0");
  if (beta == 0) return l1_loss(prediction, target, reduction);
  return reduced(huber(distance("smooth_l1_loss", prediction, target), beta) / beta, reduction,
                 "smooth_l1_loss");
}

Tensor bce_with_logits(const Tensor& logits, const Tensor& targets, const BceOptions& options) {
  require_same_shape("bce_with_logits", logits, targets);
  Tensor x = as_real(logits), t = as_real(targets);
  // -log sigmoid(x) = softplus(-x) and -log(1 - sigmoid(x)) = softplus(-x) + x.
  Tensor by_positive = softplus(neg(x));
  if (options.positive_weight) {
    by_positive = by_positive * ((options.positive_weight - 1.0) * t + 1.0);
  }
  Tensor loss = (1.0 - t) * x + by_positive;
  WAFER_REQUIRE(loss.shape() == x.shape(), "bce_with_logits", "a positive weight of ",
                options.positive_weight.shape(), " for logits ", x.shape());
  if (options.weight) loss = loss * options.weight;
  return reduced(loss, options.reduction, "bce_with_logits");
}

Tensor kl_div(const Tensor& input, const Tensor& target, Reduction reduction, bool log_target) {
  require_same_shape("kl_div", input, target);
  Tensor x = as_real(input), t = as_real(target);
  Tensor loss;
  if (log_target) {
    loss = exp(t) * (t - x);
  } else {
    Tensor positive = greater(t, 0.0);
    Tensor safe = where(positive, t, scalar_like(t, 1));
    loss = where(positive, t * log(safe), scalar_like(t, 0)) - t * x;
  }
  if (reduction != Reduction::batch_mean) return reduced(loss, reduction, "kl_div");
  WAFER_REQUIRE(loss.rank() > 0, "kl_div", "reduction batch_mean needs a batch dimension");
  return reduce_sum(loss) / element_count(loss, {0});
}

}  // namespace wafer
