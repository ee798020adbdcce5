#include "wafer/op/loss.h"

#include <limits>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/op/softmax.h"

namespace wafer::onnx {

namespace {
Reduction reduction_of(const Context& c) {
  std::string name = c.text("reduction", "mean");
  if (name == "none") return Reduction::none;
  if (name == "sum") return Reduction::sum;
  c.require(name == "mean", "reduction '" + name + "'");
  return Reduction::mean;
}

Tensor loss_of(const Context& c, const Tensor& log_probabilities) {
  NllLossOptions options{.reduction = reduction_of(c)};
  if (c.has(2)) options.weight = cast(c.in(2), log_probabilities.dtype());
  // Without the attribute nothing is ignored; no class has this number.
  options.ignore_index = c.integer("ignore_index", std::numeric_limits<int32_t>::min());
  return nll_loss(log_probabilities, c.in(1), options);
}

Values nll(Context& c) {
  return {loss_of(c, c.in(0))};
}

Values softmax_cross_entropy(Context& c) {
  Tensor log_probabilities = log_softmax(c.in(0), 1);
  return {loss_of(c, log_probabilities), log_probabilities};
}

constexpr RuleEntry loss_table[] = {
    {"NegativeLogLikelihoodLoss", nll},
    {"SoftmaxCrossEntropyLoss", softmax_cross_entropy},
};
}  // namespace

RuleList loss_rules() {
  return loss_table;
}

}  // namespace wafer::onnx
