#include "wafer/train/step.h"

#include <type_traits>

#include "wafer/nn/module_trace.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/random.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/optim/clip.h"
#include "wafer/pass/gradient.h"

namespace wafer {

namespace {

Tensor loss_of(const Objective& objective, const Tensor& output, const Tensor& target) {
  PathScope scope = PathScope::whole("loss");
  Tensor loss = objective.loss(output, target);
  WAFER_REQUIRE(loss.rank() == 0 && is_floating(loss.dtype()), "loss", "the loss is ", loss.type(),
                "; expected a floating scalar: take its mean");
  return loss;
}

// How many outputs have their greatest value at the target's class.
Tensor correct_of(const Objective& objective, const Tensor& output, const Tensor& target) {
  PathScope scope = PathScope::whole("metrics");
  if (!objective.counts_correct) return zeros(Shape{}, DType::i64);
  return reduce_sum(equal(argmax(output, -1), target));
}

// Whether the loss and every gradient are finite: a sum is only where all its terms are. Not in the
// optimizer's scope, whose values are f32: sums of bf16 tell as much, and need no f32 copy of the
// gradients, which alone would keep the update from being one pass over memory. Sums in f16 may
// overflow where no term does: there it is the greatest and the least that tell.
Tensor all_finite(const Tensor& loss, const std::vector<Tensor>& gradients, Precision precision) {
  PathScope scope = PathScope::whole("finite");
  if (precision == Precision::f16) {
    Tensor finite = is_finite(loss);
    for (const Tensor& gradient : gradients) {
      if (gradient.shape().is_static() && gradient.elements() == 0) continue;
      finite = logical_and(finite, is_finite(reduce_max(gradient)));
      finite = logical_and(finite, is_finite(reduce_min(gradient)));
    }
    return finite;
  }
  Tensor total = cast(loss, DType::f32);
  for (const Tensor& gradient : gradients) {
    DType dtype = gradient.dtype() == DType::f64 ? DType::f64 : DType::f32;
    total = total + reduce_sum(cast(gradient, dtype));
  }
  return is_finite(total);
}

// The factor of the loss in f16, as torch.amp.GradScaler's: halved by gradients that overflow,
// doubled after so many updates without one.
struct LossScale {
  static constexpr double initial = 65536, greatest = 16777216;
  static constexpr double updates_to_double = 2000;
  // Scalars f32, absent in other precisions: the factor, the updates since it changed, and all
  // updates, which are fewer than steps.
  Tensor scale, age, updates;

  explicit LossScale(Precision precision) {
    if (precision != Precision::f16) return;
    scale = make_input({DType::f32, Shape{}}, "loss_scale");
    age = make_input({DType::f32, Shape{}}, "loss_scale_age");
    updates = make_input({DType::f32, Shape{}}, "updates");
  }
  // What training_state() says of them.
  static std::vector<StateTensor> state() {
    Type scalar{DType::f32, Shape{}};
    auto role = StateTensor::Role::optimizer;
    return {{role, "loss_scale", scalar, initial},
            {role, "loss_scale_age", scalar},
            {role, "updates", scalar}};
  }
  std::vector<Tensor> inputs() const { return {scale, age, updates}; }

  std::vector<Tensor> unscaled(std::vector<Tensor> gradients) const {
    for (Tensor& gradient : gradients) gradient = gradient * cast(1.0 / scale, gradient.dtype());
    return gradients;
  }
  // The three after a step. A loss that is not finite is no matter of its factor.
  std::vector<Tensor> next(const Tensor& finite, const Tensor& loss) const {
    Tensor doubles = greater(age, updates_to_double - 1.5);
    Tensor grown = where(doubles, minimum(scale * 2.0, greatest), scale);
    Tensor halved = where(is_finite(loss), maximum(scale * 0.5, 1.0), scale);
    Tensor none = zeros_like(age);
    return {where(finite, grown, halved), where(finite, where(doubles, none, age + 1.0), none),
            where(finite, updates + 1.0, updates)};
  }
  // Gradients that overflow are no failure while they can be scaled down.
  Tensor tolerated(const Tensor& finite, const Tensor& loss) const {
    return logical_or(finite, logical_and(is_finite(loss), greater(scale, 1.0)));
  }
};

// Puts a module into a mode, and back into its own at the end.
class ModeScope {
 public:
  ModeScope(nn::Module& module, bool train) : module_(module), saved_(module.training()) {
    module_.train(train);
  }
  ~ModeScope() { module_.train(saved_); }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;

 private:
  nn::Module& module_;
  bool saved_;
};

template <class T>
void append(std::vector<T>& to, const std::type_identity_t<std::vector<T>>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// What a step reads of one batch, or of a part of it.
struct StepBatch {
  Tensor key, input, target;
  Tensor other_target, mix_weight;  // with mixup
  Tensor loss_scale;                // of the gradients, in f16
};

std::vector<Tensor> values_of(const std::vector<nn::Slot>& slots) {
  std::vector<Tensor> values;
  for (const nn::Slot& slot : slots) values.push_back(*slot.value);
  return values;
}

// Loss times `share`, the number of right answers, and the gradients of that loss by each
// parameter, times the loss scale.
std::vector<Tensor> differentiate(const Objective& objective, const StepBatch& batch,
                                  double share) {
  Tensor output;
  {
    RandomScope random(batch.key);
    output = objective.forward(batch.input);
  }
  Tensor loss = loss_of(objective, output, batch.target);
  if (batch.other_target) {
    loss = batch.mix_weight * loss +
           (1.0 - batch.mix_weight) * loss_of(objective, output, batch.other_target);
  }
  if (share != 1) loss = loss * share;
  std::vector<Tensor> parameters = values_of(objective.module->named_parameters());
  std::vector<Tensor> results = {loss, correct_of(objective, output, batch.target)};
  Tensor seed = batch.loss_scale ? cast(batch.loss_scale, loss.dtype()) : ones_like(loss);
  std::vector<Tensor> gradients = gradient({loss}, {seed}, parameters);
  for (size_t i = 0; i < gradients.size(); ++i) {
    results.push_back(gradients[i] ? gradients[i] : zeros_like(parameters[i]));
  }
  return results;
}

// The same over parts of the batch, as a scan whose carries are the sums so far and the module's
// buffers. What is left of a batch that the parts do not divide comes after it.
std::vector<Tensor> differentiate_in_parts(const Objective& objective, const StepBatch& batch,
                                           int64_t parts) {
  int64_t size = batch.input.size(0);
  int64_t part = (size + parts - 1) / parts, whole = size / part;
  auto buffers = objective.module->named_buffers();
  auto parameters = objective.module->named_parameters();
  std::vector<Tensor> carries = {zeros(Shape{}, DType::f32), zeros(Shape{}, DType::i64)};
  for (const auto& slot : parameters) carries.push_back(zeros_like(*slot.value));
  size_t sums = carries.size();
  append(carries, values_of(buffers));

  auto add_part = [&](const std::vector<Tensor>& before, const StepBatch& piece) {
    for (size_t i = 0; i < buffers.size(); ++i) *buffers[i].value = before[sums + i];
    double share = static_cast<double>(piece.input.size(0)) / static_cast<double>(size);
    std::vector<Tensor> after = differentiate(objective, piece, share);
    PathScope scope = PathScope::whole("optimizer");
    for (size_t i = 0; i < sums; ++i) after[i] = before[i] + cast(after[i], before[i].dtype());
    append(after, values_of(buffers));
    return after;
  };
  // Random numbers of a part: those of a step of its own.
  Tensor seed = narrow(batch.key, 0, 0, 1), step = narrow(batch.key, 0, 1, 2);
  auto number = [](int64_t value) { return cast(Tensor(value), DType::u64); };
  Tensor steps = step * number(parts) + cast(iota(Shape{whole}, 0, DType::i64), DType::u64);
  auto in_parts = [&](const Tensor& x) {
    std::vector<int64_t> sizes = x.shape().sizes();
    sizes[0] = part;
    sizes.insert(sizes.begin(), whole);
    return reshape(narrow(x, 0, 0, whole * part), sizes);
  };
  std::vector<Tensor> xs = {stack({broadcast_to(seed, Shape{whole}), steps}, 1),
                            in_parts(batch.input), in_parts(batch.target)};
  if (batch.other_target) xs.push_back(in_parts(batch.other_target));
  ScanResult result = scan(
      [&](const std::vector<Tensor>& before, const std::vector<Tensor>& x) {
        StepBatch piece{x[0],
                        x[1],
                        x[2],
                        batch.other_target ? x[3] : Tensor(),
                        batch.mix_weight,
                        batch.loss_scale};
        return ScanStep{add_part(before, piece), {}};
      },
      carries, xs, {.save_carries = false});
  std::vector<Tensor> totals = result.carries;
  if (whole * part < size) {
    auto rest = [&](const Tensor& x) { return x ? narrow(x, 0, whole * part, size) : Tensor(); };
    Tensor key = concat({seed, step * number(parts) + number(whole)}, 0);
    totals = add_part(totals, {key, rest(batch.input), rest(batch.target), rest(batch.other_target),
                               batch.mix_weight, batch.loss_scale});
  }
  for (size_t i = 0; i < buffers.size(); ++i) *buffers[i].value = totals[sums + i];
  totals.resize(sums);
  return totals;
}

}  // namespace

std::vector<StateTensor> training_state(const nn::Module& module, const optim::Optimizer& optimizer,
                                        const StepOptions& options) {
  std::vector<StateTensor> state;
  for (const auto& slot : module.named_parameters()) {
    state.push_back({StateTensor::Role::parameter, slot.name, slot.value->type()});
  }
  for (const auto& slot : module.named_buffers()) {
    state.push_back({StateTensor::Role::buffer, slot.name, slot.value->type()});
  }
  for (const auto& slot : module.named_parameters()) {
    for (const auto& spec : optimizer.state_for(slot.value->type())) {
      state.push_back(
          {StateTensor::Role::optimizer, slot.name + "." + spec.name, spec.type, spec.initial});
    }
  }
  if (options.ema_decay > 0) {
    for (const auto& slot : module.named_parameters()) {
      state.push_back({StateTensor::Role::average, slot.name, slot.value->type()});
    }
  }
  if (options.precision == Precision::f16) append(state, LossScale::state());
  return state;
}

Graph train_step_graph(const Objective& objective, const optim::Optimizer& optimizer,
                       const StepOptions& options, const Type& input_type,
                       const Type& target_type) {
  Tensor key = make_input({DType::u64, Shape{2}}, "key");
  Tensor step = make_input({DType::f32, Shape{}}, "step");
  Tensor learning_rate = make_input({DType::f32, Shape{}}, "learning_rate");
  Tensor input = make_input(input_type, "inputs");
  Tensor target = make_input(target_type, "targets");
  Tensor other_target = options.mixup ? make_input(target_type, "other_targets") : Tensor();
  Tensor mix_weight = options.mixup ? make_input({DType::f32, Shape{}}, "mix_weight") : Tensor();

  ModeScope mode(*objective.module, true);
  LossScale scaling(options.precision);
  StepBatch batch{key, input, target, other_target, mix_weight, scaling.scale};
  nn::ModuleTrace traced = nn::trace_module(*objective.module, [&] {
    return options.accumulate > 1 ? differentiate_in_parts(objective, batch, options.accumulate)
                                  : differentiate(objective, batch, 1.0);
  });
  const Tensor &loss = traced.outputs[0], &correct = traced.outputs[1];
  std::vector<Tensor> gradients(traced.outputs.begin() + 2, traced.outputs.end());
  PathScope scope = PathScope::whole("optimizer");
  Tensor finite = all_finite(loss, gradients, options.precision);
  if (scaling.scale) gradients = scaling.unscaled(gradients);
  if (options.clip_value) gradients = optim::clip_by_value(gradients, *options.clip_value);
  if (options.clip_norm)
    gradients = optim::clip_by_global_norm(gradients, *options.clip_norm).gradients;

  // Steps that left the weights are none of the optimiser's.
  Tensor number = scaling.scale ? scaling.updates + 1.0 : step;

  Graph graph;
  append(graph.inputs, traced.parameters);
  append(graph.inputs, traced.buffers);
  std::vector<Tensor> new_parameters, new_states, averages, new_averages;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Tensor& parameter = traced.parameters[i];
    std::vector<Tensor> states;
    for (const auto& spec : optimizer.state_for(parameter.type()))
      states.push_back(make_input(spec.type, spec.name));
    auto update = optimizer.update(parameter, gradients[i], states, learning_rate, number);
    append(graph.inputs, states);
    new_parameters.push_back(update.parameter);
    append(new_states, update.state);
  }
  if (options.ema_decay > 0) {
    for (size_t i = 0; i < gradients.size(); ++i) {
      averages.push_back(make_input(traced.parameters[i].type(), "average"));
      new_averages.push_back(
          optim::exponential_moving_average(averages.back(), new_parameters[i], options.ema_decay));
    }
  }
  append(graph.inputs, averages);
  if (scaling.scale) append(graph.inputs, scaling.inputs());
  size_t state_count = graph.inputs.size();

  append(graph.outputs, new_parameters);
  append(graph.outputs, traced.new_buffers);
  append(graph.outputs, new_states);
  append(graph.outputs, new_averages);
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    if (!(graph.outputs[i] == graph.inputs[i]))
      graph.outputs[i] = where(finite, graph.outputs[i], graph.inputs[i]);
  }
  if (scaling.scale) append(graph.outputs, scaling.next(finite, loss));
  for (size_t i = 0; i < state_count; ++i) graph.alias.push_back(static_cast<int>(i));
  graph.outputs.push_back(cast(loss, DType::f32));
  graph.outputs.push_back(correct);
  graph.outputs.push_back(scaling.scale ? scaling.tolerated(finite, loss) : finite);
  graph.alias.resize(graph.outputs.size(), -1);
  append(graph.inputs, {key, step, learning_rate, input, target});
  if (options.mixup) append(graph.inputs, {other_target, mix_weight});
  return apply_precision(graph, options.precision);
}

Graph evaluation_graph(const Objective& objective, const Type& input_type, const Type& target_type,
                       bool with_outputs, Precision precision) {
  Tensor input = make_input(input_type, "inputs"), target = make_input(target_type, "targets");
  ModeScope mode(*objective.module, false);
  auto traced = nn::trace_module(*objective.module,
                                 [&] { return std::vector<Tensor>{objective.forward(input)}; });
  Graph graph;
  append(graph.inputs, traced.parameters);
  append(graph.inputs, traced.buffers);
  append(graph.inputs, {input, target});
  const Tensor& output = traced.outputs[0];
  graph.outputs = {cast(loss_of(objective, output, target), DType::f32),
                   correct_of(objective, output, target)};
  if (with_outputs) graph.outputs.push_back(output);
  return apply_precision(graph, precision);
}

Graph inference_graph(nn::Module& module, const ForwardFunction& forward, const Type& input_type,
                      Precision precision) {
  Tensor input = make_input(input_type, "inputs");
  ModeScope mode(module, false);
  auto traced = nn::trace_module(module, [&] { return std::vector<Tensor>{forward(input)}; });
  Graph graph;
  append(graph.inputs, traced.parameters);
  append(graph.inputs, traced.buffers);
  graph.inputs.push_back(input);
  graph.outputs = {traced.outputs[0]};
  return apply_precision(graph, precision);
}

}  // namespace wafer
