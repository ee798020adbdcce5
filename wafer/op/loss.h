#pragma once
#include <tuple>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Losses with PyTorch's semantics. `mean` and `sum` give a scalar, `none` a loss per element or
// position.
namespace wafer {

enum class Reduction {
  mean,
  sum,
  none,
  batch_mean,  // kl_div alone: the sum divided by the first dimension's size
};

struct CrossEntropyOptions {
  Tensor weight;                // [classes], or empty: one each
  int64_t ignore_index = -100;  // positions with this class count for nothing
  double label_smoothing = 0;   // in [0, 1]: this share of each target is spread over all classes
  Reduction reduction = Reduction::mean;
};

// -log softmax(logits) at the target class. logits: floating [batch, classes, ...] or [classes];
// targets: classes i64 or i32 [batch, ...], or probabilities of logits' shape and dtype.
// `mean` divides by the sum of the targets' weights (classes), or by the number of positions
// (probabilities); NaN where there is none.
// Targets that are no class are an error of the run on devices that check.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets,
                     const CrossEntropyOptions& options = {});

struct NllLossOptions {
  Tensor weight;  // [classes], or empty
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};
// The same from log-probabilities, as log_softmax(x, 1) gives them.
Tensor nll_loss(const Tensor& log_probabilities, const Tensor& targets,
                const NllLossOptions& options = {});

// Of equal shapes; others are an error, since broadcasting here is a well-known slip.
Tensor mse_loss(const Tensor& prediction, const Tensor& target,
                Reduction reduction = Reduction::mean);
Tensor l1_loss(const Tensor& prediction, const Tensor& target,
               Reduction reduction = Reduction::mean);
// d^2 / 2 where |d| < delta, else delta (|d| - delta / 2).
Tensor huber_loss(const Tensor& prediction, const Tensor& target, double delta = 1,
                  Reduction reduction = Reduction::mean);
// huber_loss(beta) / beta; beta = 0 is l1_loss.
Tensor smooth_l1_loss(const Tensor& prediction, const Tensor& target, double beta = 1,
                      Reduction reduction = Reduction::mean);

struct BceOptions {
  Tensor weight;           // of each element; broadcasts
  Tensor positive_weight;  // of the positive targets (PyTorch's pos_weight); broadcasts
  Reduction reduction = Reduction::mean;
};
// Binary cross-entropy of sigmoid(logits) against targets in [0, 1], without overflow.
Tensor bce_with_logits(const Tensor& logits, const Tensor& targets, const BceOptions& options = {});

// target (log target - input), with input (and, if `log_target`, target) log-probabilities; 0 where
// the target is 0.
Tensor kl_div(const Tensor& input, const Tensor& target, Reduction reduction = Reduction::mean,
              bool log_target = false);

// Op cross_entropy: inputs logits, targets and, if any, weight; outputs the loss and
// log(sum(exp(logits))) [batch, ...]. Op cross_entropy_gradient: inputs the loss's gradient,
// logits, targets, the second output and, if any, weight; output the logits' gradient.
struct CrossEntropyAttrs {
  std::string reduction = "mean";  // mean, sum or none
  int64_t ignore_index = -100;
  double label_smoothing = 0;
  static constexpr auto fields() {
    return std::make_tuple(Field{"reduction", &CrossEntropyAttrs::reduction},
                           Field{"ignore_index", &CrossEntropyAttrs::ignore_index},
                           Field{"label_smoothing", &CrossEntropyAttrs::label_smoothing});
  }
};

}  // namespace wafer
