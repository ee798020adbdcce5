#include "wafer/optim/optimizer.h"

#include <cmath>

#include "wafer/op/elementwise.h"

namespace wafer::optim {

namespace {
// Throws unless a hyper-parameter lies in [low, high).
void check_range(const std::string& optimizer, const char* field, double value, double low = 0,
                 double high = INFINITY) {
  WAFER_REQUIRE(value >= low && value < high, "optim", optimizer, ": ", field, " = ", value,
                "; expected a number ",
                std::isinf(high) ? str("of at least ", low) : str("in [", low, ", ", high, ")"));
}

// Scalars are computed in f32 once a step; the elements' dtype is that of the parameter.
Tensor scalar(const Tensor& value, const Tensor& like) {
  return cast(value, like.dtype());
}

// 1 - beta^step. Through expm1, since 1 - 0.999^1 in f32 would keep only five digits.
Tensor bias_correction(double beta, const Tensor& step) {
  if (beta == 0) return Tensor(1.0);
  return -expm1(cast(step, DType::f32) * std::log(beta));
}

Tensor decayed(const Tensor& gradient, const Tensor& parameter, double weight_decay) {
  return weight_decay == 0 ? gradient : gradient + parameter * weight_decay;
}

// a + (b - a) t, as torch.lerp.
Tensor lerp(const Tensor& a, const Tensor& b, double t) {
  return a + (b - a) * t;
}
}  // namespace

SGD::SGD(const SgdOptions& options) : OptimizerWith(options) {
  check_range("SGD", "lr", options.lr);
  check_range("SGD", "momentum", options.momentum);
  check_range("SGD", "weight_decay", options.weight_decay);
  WAFER_REQUIRE(!options.nesterov || (options.momentum > 0 && options.dampening == 0), "optim",
                "SGD: Nesterov's step needs a momentum and no dampening");
}

std::vector<StateSpec> SGD::state_for(const Type& parameter) const {
  if (options_.momentum == 0) return {};
  return {{"momentum_buffer", parameter, 0}};
}

Update SGD::update(const Tensor& parameter, const Tensor& gradient,
                   const std::vector<Tensor>& state, const Tensor& lr, const Tensor& step) const {
  Tensor direction = decayed(gradient, parameter, options_.weight_decay);
  Tensor rate = scalar(lr, parameter);
  if (options_.momentum == 0) return {parameter - rate * direction, {}};
  Tensor added = direction;
  if (options_.dampening != 0) {
    // The first step takes the whole gradient, as in PyTorch.
    Tensor kept = where(less(step, 1.5), Tensor(1.0), Tensor(1 - options_.dampening));
    added = direction * scalar(kept, parameter);
  }
  Tensor buffer = state.at(0) * options_.momentum + added;
  Tensor taken = options_.nesterov ? direction + buffer * options_.momentum : buffer;
  return {parameter - rate * taken, {buffer}};
}

Adam::Adam(const AdamOptions& options) : Adam(options, false) {}

Adam::Adam(const AdamOptions& options, bool decoupled)
    : OptimizerWith(options), decoupled_(decoupled) {
  std::string kind = decoupled ? "AdamW" : "Adam";
  check_range(kind, "lr", options.lr);
  check_range(kind, "beta1", options.beta1, 0, 1);
  check_range(kind, "beta2", options.beta2, 0, 1);
  check_range(kind, "eps", options.eps);
  check_range(kind, "weight_decay", options.weight_decay);
}

std::vector<StateSpec> Adam::state_for(const Type& parameter) const {
  std::vector<StateSpec> state{{"exp_avg", parameter, 0}, {"exp_avg_sq", parameter, 0}};
  if (options_.amsgrad) state.push_back({"max_exp_avg_sq", parameter, 0});
  return state;
}

// p - (lr / (1 - beta1^t)) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
Update Adam::update(const Tensor& parameter, const Tensor& gradient,
                    const std::vector<Tensor>& state, const Tensor& lr, const Tensor& step) const {
  Tensor p = parameter, g = gradient;
  if (decoupled_ && options_.weight_decay != 0) {
    p = p * scalar(1.0 - lr * options_.weight_decay, p);
  } else {
    g = decayed(g, p, options_.weight_decay);
  }
  Tensor m = lerp(state.at(0), g, 1 - options_.beta1);
  Tensor v = state.at(1) * options_.beta2 + g * g * (1 - options_.beta2);
  Tensor step_size = lr / bias_correction(options_.beta1, step);
  Tensor root_scale = rsqrt(bias_correction(options_.beta2, step));
  Update result{{}, {m, v}};
  Tensor largest = v;
  if (options_.amsgrad) {
    largest = maximum(state.at(2), v);
    result.state.push_back(largest);
  }
  Tensor denominator = sqrt(largest) * scalar(root_scale, p) + options_.eps;
  result.parameter = p - scalar(step_size, p) * (m / denominator);
  return result;
}

AdamW::AdamW(const AdamWOptions& o)
    : Adam({.lr = o.lr,
            .beta1 = o.beta1,
            .beta2 = o.beta2,
            .eps = o.eps,
            .weight_decay = o.weight_decay,
            .amsgrad = o.amsgrad},
           true) {}

RMSprop::RMSprop(const RmspropOptions& options) : OptimizerWith(options) {
  check_range("RMSprop", "lr", options.lr);
  check_range("RMSprop", "alpha", options.alpha);
  check_range("RMSprop", "eps", options.eps);
  check_range("RMSprop", "momentum", options.momentum);
  check_range("RMSprop", "weight_decay", options.weight_decay);
}

std::vector<StateSpec> RMSprop::state_for(const Type& parameter) const {
  std::vector<StateSpec> state{{"square_avg", parameter, 0}};
  if (options_.momentum > 0) state.push_back({"momentum_buffer", parameter, 0});
  if (options_.centered) state.push_back({"grad_avg", parameter, 0});
  return state;
}

Update RMSprop::update(const Tensor& parameter, const Tensor& gradient,
                       const std::vector<Tensor>& state, const Tensor& lr, const Tensor&) const {
  Tensor g = decayed(gradient, parameter, options_.weight_decay);
  Tensor square_average = state.at(0) * options_.alpha + g * g * (1 - options_.alpha);
  Update result{{}, {square_average}};
  Tensor spread = square_average, average;
  if (options_.centered) {
    average = lerp(state.back(), g, 1 - options_.alpha);
    spread = square_average - average * average;
  }
  Tensor direction = g / (sqrt(spread) + options_.eps);
  if (options_.momentum > 0) {
    direction = state.at(1) * options_.momentum + direction;
    result.state.push_back(direction);
  }
  if (options_.centered) result.state.push_back(average);
  result.parameter = parameter - scalar(lr, parameter) * direction;
  return result;
}

Adagrad::Adagrad(const AdagradOptions& options) : OptimizerWith(options) {
  check_range("Adagrad", "lr", options.lr);
  check_range("Adagrad", "lr_decay", options.lr_decay);
  check_range("Adagrad", "weight_decay", options.weight_decay);
  check_range("Adagrad", "initial_accumulator_value", options.initial_accumulator_value);
  check_range("Adagrad", "eps", options.eps);
}

std::vector<StateSpec> Adagrad::state_for(const Type& parameter) const {
  return {{"sum", parameter, options_.initial_accumulator_value}};
}

Update Adagrad::update(const Tensor& parameter, const Tensor& gradient,
                       const std::vector<Tensor>& state, const Tensor& lr,
                       const Tensor& step) const {
  Tensor g = decayed(gradient, parameter, options_.weight_decay);
  Tensor sum = state.at(0) + g * g;
  Tensor rate = lr;
  if (options_.lr_decay != 0) {
    rate = lr / (1.0 + (cast(step, DType::f32) - 1.0) * options_.lr_decay);
  }
  return {parameter - scalar(rate, parameter) * (g / (sqrt(sum) + options_.eps)), {sum}};
}

}  // namespace wafer::optim
