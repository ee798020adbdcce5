#include <charconv>
#include <functional>

#include "wafer/base/strings.h"
#include "wafer/optim/optimizer.h"

namespace wafer::optim {

namespace {
using Options = std::map<std::string, std::string>;

// Where an option of one name goes.
struct Target {
  const char* name;
  std::variant<double*, bool*> value;
};

void assign(const std::string& optimizer, const Target& target, const std::string& text) {
  if (auto* flag = std::get_if<bool*>(&target.value)) {
    bool yes = text == "true" || text == "1", no = text == "false" || text == "0";
    WAFER_REQUIRE(yes || no, "optim", optimizer, ": ", target.name, " = '", text,
                  "'; expected true or false");
    **flag = yes;
    return;
  }
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  WAFER_REQUIRE(error == std::errc() && end == text.data() + text.size(), "optim", optimizer, ": ",
                target.name, " = '", text, "'; expected a number");
  *std::get<double*>(target.value) = number;
}

void read(const std::string& optimizer, const Options& options,
          const std::vector<Target>& targets) {
  std::vector<std::string> names;
  for (const Target& target : targets) names.emplace_back(target.name);
  for (const auto& [name, text] : options) {
    bool known = false;
    for (const Target& target : targets) {
      if (name == target.name) assign(optimizer, target, text), known = true;
    }
    WAFER_REQUIRE(known, "optim", optimizer, " has no option '", name, "'",
                  did_you_mean(name, names), "; it has ", join(names, ", "));
  }
}

std::unique_ptr<Optimizer> create_sgd(const Options& options) {
  SgdOptions o;
  read("sgd", options,
       {{"lr", &o.lr},
        {"momentum", &o.momentum},
        {"dampening", &o.dampening},
        {"weight_decay", &o.weight_decay},
        {"nesterov", &o.nesterov}});
  return std::make_unique<SGD>(o);
}

template <class Kind, class O>
std::unique_ptr<Optimizer> create_adam(const char* name, const Options& options) {
  O o;
  read(name, options,
       {{"lr", &o.lr},
        {"beta1", &o.beta1},
        {"beta2", &o.beta2},
        {"eps", &o.eps},
        {"weight_decay", &o.weight_decay},
        {"amsgrad", &o.amsgrad}});
  return std::make_unique<Kind>(o);
}

std::unique_ptr<Optimizer> create_rmsprop(const Options& options) {
  RmspropOptions o;
  read("rmsprop", options,
       {{"lr", &o.lr},
        {"alpha", &o.alpha},
        {"eps", &o.eps},
        {"weight_decay", &o.weight_decay},
        {"momentum", &o.momentum},
        {"centered", &o.centered}});
  return std::make_unique<RMSprop>(o);
}

std::unique_ptr<Optimizer> create_adagrad(const Options& options) {
  AdagradOptions o;
  read("adagrad", options,
       {{"lr", &o.lr},
        {"lr_decay", &o.lr_decay},
        {"weight_decay", &o.weight_decay},
        {"initial_accumulator_value", &o.initial_accumulator_value},
        {"eps", &o.eps}});
  return std::make_unique<Adagrad>(o);
}
}  // namespace

std::unique_ptr<Optimizer> create(const std::string& name, const Options& options) {
  if (name == "sgd") return create_sgd(options);
  if (name == "adam") return create_adam<Adam, AdamOptions>("adam", options);
  if (name == "adamw") return create_adam<AdamW, AdamWOptions>("adamw", options);
  if (name == "rmsprop") return create_rmsprop(options);
  if (name == "adagrad") return create_adagrad(options);
  std::vector<std::string> names{"sgd", "adam", "adamw", "rmsprop", "adagrad"};
  throw UserError("optim", str("no optimiser '", name, "'", did_you_mean(name, names),
                               "; there are ", join(names, ", ")));
}

}  // namespace wafer::optim
