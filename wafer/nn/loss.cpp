#include "wafer/nn/loss.h"

#include "wafer/base/strings.h"
#include "wafer/op/shape_ops.h"

namespace wafer::nn {

namespace {
template <class F>
Loss named(const char* name, F function) {
  return {name, [function](const Tensor& output, const Tensor& target) {
            return function(output, target);
          }};
}
}  // namespace

Tensor SequenceCrossEntropy::operator()(const Tensor& logits, const Tensor& targets,
                                        const CrossEntropyOptions& options) const {
  WAFER_REQUIRE(logits.rank() == 3 && targets.rank() == 2, "sequence_cross_entropy", "logits ",
                logits.shape(), " and targets ", targets.shape(),
                "; expected [batch, length, classes] and [batch, length]");
  return wafer::cross_entropy(flatten(logits, 0, 1), flatten(targets, 0, 1), options);
}

CrossEntropy::operator Loss() const {
  return named("cross_entropy", *this);
}
SequenceCrossEntropy::operator Loss() const {
  return named("sequence_cross_entropy", *this);
}
MeanSquaredError::operator Loss() const {
  return named("mse", *this);
}
MeanAbsoluteError::operator Loss() const {
  return named("l1", *this);
}
Huber::operator Loss() const {
  return named("huber", *this);
}
BceWithLogits::operator Loss() const {
  return named("bce_with_logits", *this);
}

Loss loss_by_name(const std::string& name) {
  const std::vector<Loss> losses{cross_entropy, sequence_cross_entropy, mse, l1,
                                 huber,         bce_with_logits};
  std::vector<std::string> names;
  for (const Loss& loss : losses) {
    if (loss.name == name) return loss;
    names.push_back(loss.name);
  }
  throw UserError("loss", str("no loss '", name, "'", did_you_mean(name, names), "; there are ",
                              join(names, ", ")));
}

}  // namespace wafer::nn
