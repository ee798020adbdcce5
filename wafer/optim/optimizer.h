#pragma once
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Optimisers are pure functions on a graph: parameter, gradient and state go in, new ones come out.
// Numbers that change each step (learning rate, step) are tensors. Formulas are PyTorch's
// (torch.optim).
namespace wafer::optim {

// One state tensor that belongs to a parameter.
struct StateSpec {
  std::string name;  // "momentum"
  Type type;
  double initial = 0;
};

struct Update {
  Tensor parameter;
  std::vector<Tensor> state;  // in state_for's order
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // "adam".
  virtual std::string name() const = 0;
  // The learning rate before any schedule.
  virtual double learning_rate() const = 0;
  // Every hyper-parameter with PyTorch's name, `lr` first: what logs and checkpoints record.
  virtual AttrList hyper_parameters() const = 0;
  // The state that a parameter of this type needs.
  virtual std::vector<StateSpec> state_for(const Type& parameter) const = 0;
  // lr: scalar f32. step: scalar f32, the number of this update, 1 for the first.
  virtual Update update(const Tensor& parameter, const Tensor& gradient,
                        const std::vector<Tensor>& state, const Tensor& lr,
                        const Tensor& step) const = 0;
};

// Hyper-parameters: plain structs, each with the one list of its fields under PyTorch's names.
struct SgdOptions {
  double lr = 1e-3;
  double momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
  static constexpr auto fields() {
    return std::make_tuple(Field{"lr", &SgdOptions::lr}, Field{"momentum", &SgdOptions::momentum},
                           Field{"dampening", &SgdOptions::dampening},
                           Field{"weight_decay", &SgdOptions::weight_decay},
                           Field{"nesterov", &SgdOptions::nesterov});
  }
};
struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool amsgrad = false;
  static constexpr auto fields() {
    return std::make_tuple(Field{"lr", &AdamOptions::lr}, Field{"beta1", &AdamOptions::beta1},
                           Field{"beta2", &AdamOptions::beta2}, Field{"eps", &AdamOptions::eps},
                           Field{"weight_decay", &AdamOptions::weight_decay},
                           Field{"amsgrad", &AdamOptions::amsgrad});
  }
};
struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
  bool amsgrad = false;
  static constexpr auto fields() {
    return std::make_tuple(Field{"lr", &AdamWOptions::lr}, Field{"beta1", &AdamWOptions::beta1},
                           Field{"beta2", &AdamWOptions::beta2}, Field{"eps", &AdamWOptions::eps},
                           Field{"weight_decay", &AdamWOptions::weight_decay},
                           Field{"amsgrad", &AdamWOptions::amsgrad});
  }
};
struct RmspropOptions {
  double lr = 1e-2;
  double alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0;
  bool centered = false;
  static constexpr auto fields() {
    return std::make_tuple(
        Field{"lr", &RmspropOptions::lr}, Field{"alpha", &RmspropOptions::alpha},
        Field{"eps", &RmspropOptions::eps}, Field{"weight_decay", &RmspropOptions::weight_decay},
        Field{"momentum", &RmspropOptions::momentum}, Field{"centered", &RmspropOptions::centered});
  }
};
struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0, weight_decay = 0, initial_accumulator_value = 0, eps = 1e-10;
  static constexpr auto fields() {
    return std::make_tuple(
        Field{"lr", &AdagradOptions::lr}, Field{"lr_decay", &AdagradOptions::lr_decay},
        Field{"weight_decay", &AdagradOptions::weight_decay},
        Field{"initial_accumulator_value", &AdagradOptions::initial_accumulator_value},
        Field{"eps", &AdagradOptions::eps});
  }
};

// What follows from the list of hyper-parameters.
template <class Options>
class OptimizerWith : public Optimizer {
 public:
  double learning_rate() const override { return options_.lr; }
  AttrList hyper_parameters() const override { return Attrs(options_).list(); }

 protected:
  explicit OptimizerWith(const Options& options) : options_(options) {}
  Options options_;
};

// Stochastic gradient descent with momentum (Sutskever et al. 2013).
class SGD : public OptimizerWith<SgdOptions> {
 public:
  explicit SGD(const SgdOptions& options = {});
  std::string name() const override { return "sgd"; }
  std::vector<StateSpec> state_for(const Type& parameter) const override;
  Update update(const Tensor& parameter, const Tensor& gradient, const std::vector<Tensor>& state,
                const Tensor& lr, const Tensor& step) const override;
};

// Kingma and Ba 2015; weight decay is added to the gradient.
class Adam : public OptimizerWith<AdamOptions> {
 public:
  explicit Adam(const AdamOptions& options = {});
  std::string name() const override { return "adam"; }
  std::vector<StateSpec> state_for(const Type& parameter) const override;
  Update update(const Tensor& parameter, const Tensor& gradient, const std::vector<Tensor>& state,
                const Tensor& lr, const Tensor& step) const override;

 protected:
  Adam(const AdamOptions& options, bool decoupled);

 private:
  bool decoupled_ = false;  // weight decay shrinks the parameter instead
};

// Loshchilov and Hutter 2019: weight decay shrinks the parameter by lr times itself.
class AdamW : public Adam {
 public:
  explicit AdamW(const AdamWOptions& options = {});
  std::string name() const override { return "adamw"; }
};

// Tieleman and Hinton 2012; `centered`: Graves 2013.
class RMSprop : public OptimizerWith<RmspropOptions> {
 public:
  explicit RMSprop(const RmspropOptions& options = {});
  std::string name() const override { return "rmsprop"; }
  std::vector<StateSpec> state_for(const Type& parameter) const override;
  Update update(const Tensor& parameter, const Tensor& gradient, const std::vector<Tensor>& state,
                const Tensor& lr, const Tensor& step) const override;
};

// Duchi et al. 2011.
class Adagrad : public OptimizerWith<AdagradOptions> {
 public:
  explicit Adagrad(const AdagradOptions& options = {});
  std::string name() const override { return "adagrad"; }
  std::vector<StateSpec> state_for(const Type& parameter) const override;
  Update update(const Tensor& parameter, const Tensor& gradient, const std::vector<Tensor>& state,
                const Tensor& lr, const Tensor& step) const override;
};

// "sgd", "adam", "adamw", "rmsprop", "adagrad" with options as text ({"lr", "1e-3"}); UserError
// with "did you mean" for another name or option, or a value that is no number.
std::unique_ptr<Optimizer> create(const std::string& name,
                                  const std::map<std::string, std::string>& options = {});

}  // namespace wafer::optim
