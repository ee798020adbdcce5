#pragma once
#include <functional>
#include <string>

#include "wafer/op/loss.h"

// Losses as objects with a name, for the Trainer: `Trainer trainer{model, nn::cross_entropy, ...}`;
// called, they are the functions of op/loss.h.
namespace wafer::nn {

// Of a model's output and the target: a scalar.
struct Loss {
  std::string name;
  std::function<Tensor(const Tensor& output, const Tensor& target)> function;

  Tensor operator()(const Tensor& output, const Tensor& target) const {
    return function(output, target);
  }
};

struct CrossEntropy {
  // logits [batch, classes, ...]; targets i64 [batch, ...].
  Tensor operator()(const Tensor& logits, const Tensor& targets,
                    const CrossEntropyOptions& options = {}) const {
    return wafer::cross_entropy(logits, targets, options);
  }
  operator Loss() const;  // NOLINT: a loss function is a loss
};

// Cross-entropy of each position of a sequence: logits [batch, length, classes], targets i64
// [batch, length].
struct SequenceCrossEntropy {
  Tensor operator()(const Tensor& logits, const Tensor& targets,
                    const CrossEntropyOptions& options = {}) const;
  operator Loss() const;  // NOLINT
};

struct MeanSquaredError {
  Tensor operator()(const Tensor& prediction, const Tensor& target) const {
    return mse_loss(prediction, target);
  }
  operator Loss() const;  // NOLINT
};

struct MeanAbsoluteError {
  Tensor operator()(const Tensor& prediction, const Tensor& target) const {
    return l1_loss(prediction, target);
  }
  operator Loss() const;  // NOLINT
};

struct Huber {
  Tensor operator()(const Tensor& prediction, const Tensor& target, double delta = 1) const {
    return huber_loss(prediction, target, delta);
  }
  operator Loss() const;  // NOLINT
};

struct BceWithLogits {
  Tensor operator()(const Tensor& logits, const Tensor& targets,
                    const BceOptions& options = {}) const {
    return wafer::bce_with_logits(logits, targets, options);
  }
  operator Loss() const;  // NOLINT
};

inline constexpr CrossEntropy cross_entropy;
inline constexpr SequenceCrossEntropy sequence_cross_entropy;
inline constexpr MeanSquaredError mse;
inline constexpr MeanAbsoluteError l1;
inline constexpr Huber huber;
inline constexpr BceWithLogits bce_with_logits;

// The loss of that name ("cross_entropy", "mse", ...); UserError with "did you mean" otherwise.
Loss loss_by_name(const std::string& name);

}  // namespace wafer::nn
