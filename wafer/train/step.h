#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"
#include "wafer/nn/module.h"
#include "wafer/optim/optimizer.h"
#include "wafer/pass/precision.h"

namespace wafer {

// Loss of a model's output against targets: a scalar, the mean over the batch.
using LossFunction = std::function<Tensor(const Tensor& output, const Tensor& target)>;
using ForwardFunction = std::function<Tensor(const Tensor& input)>;

// What is trained, as functions that record graphs.
struct Objective {
  nn::Module* module;
  ForwardFunction forward;
  LossFunction loss;
  bool counts_correct;  // targets are class indices: accuracy makes sense
};

struct StepOptions {
  std::optional<double> clip_norm, clip_value;
  double ema_decay = 0;  // 0: no moving average of the weights
  bool mixup = false;    // two targets and a weight in place of one target
  // Runs each batch in so many parts, one after the other, and adds up their gradients before the
  // one update: activations take the memory of a part. The same as the whole batch but for
  // rounding, batch norm (which sees a part at a time) and dropout's draws.
  int64_t accumulate = 1;
  // What the products are computed in; not automatic. In f16 the loss is scaled, so that small
  // gradients do not vanish.
  Precision precision = Precision::f32;
  friend bool operator==(const StepOptions&, const StepOptions&) = default;
};

// One tensor that a train step reads and writes.
struct StateTensor {
  enum class Role { parameter, buffer, optimizer, average };
  Role role;
  std::string name;  // "conv1.weight"; of optimiser state "conv1.weight.0" or "loss_scale"
  Type type;
  double initial = 0;  // of optimiser state; averages begin as their parameter
};

// Everything that a step carries on, in the order of the graph's first inputs and outputs.
std::vector<StateTensor> training_state(const nn::Module& module, const optim::Optimizer& optimizer,
                                        const StepOptions& options);

// A train step as one graph. Inputs: the state; key u64[2] (seed, step); step f32 (from 1);
// learning rate f32; batch inputs; targets; with mixup also the other targets and the first's
// weight f32. Outputs: the new state, each in place of the old; loss f32; number of right answers
// i64; whether loss and gradients are finite, boolean. Where they are not, the state stays the
// same. In f16 gradients that overflow halve the loss scale and leave the rest of the state; they
// count as not finite once the scale is 1, and `step` is not read: updates are counted instead.
Graph train_step_graph(const Objective& objective, const optim::Optimizer& optimizer,
                       const StepOptions& options, const Type& input, const Type& target);

// Evaluation as one graph. Inputs: parameters; buffers; batch inputs; targets. Outputs: mean loss
// f32; number of right answers i64; with `with_outputs` also the model's output.
Graph evaluation_graph(const Objective& objective, const Type& input, const Type& target,
                       bool with_outputs, Precision precision = Precision::f32);

// The model alone, in evaluation mode. Inputs: parameters; buffers; batch inputs. Output: the
// model's output.
Graph inference_graph(nn::Module& module, const ForwardFunction& forward, const Type& input,
                      Precision precision = Precision::f32);

}  // namespace wafer
