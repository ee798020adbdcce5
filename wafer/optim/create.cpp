#include <algorithm>
#include <charconv>

#include "wafer/base/strings.h"
#include "wafer/optim/optimizer.h"

namespace wafer::optim {

namespace {
using Options = std::map<std::string, std::string>;

void assign(const std::string& where, const std::string& text, bool& flag) {
  bool yes = text == "true" || text == "1", no = text == "false" || text == "0";
  WAFER_REQUIRE(yes || no, "optim", where, " = '", text, "'; expected true or false");
  flag = yes;
}
void assign(const std::string& where, const std::string& text, double& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  WAFER_REQUIRE(error == std::errc() && end == text.data() + text.size(), "optim", where, " = '",
                text, "'; expected a number");
}

template <class Kind, class KindOptions>
std::unique_ptr<Optimizer> make(const std::string& optimizer, const Options& options) {
  KindOptions values;
  std::vector<std::string> names;
  auto read = [&](const auto& field) {
    names.emplace_back(field.name);
    auto given = options.find(field.name);
    if (given != options.end())
      assign(optimizer + ": " + field.name, given->second, values.*field.member);
  };
  std::apply([&](const auto&... field) { (read(field), ...); }, KindOptions::fields());
  for (const auto& [name, text] : options) {
    WAFER_REQUIRE(std::find(names.begin(), names.end(), name) != names.end(), "optim", optimizer,
                  " has no option '", name, "'", did_you_mean(name, names), "; it has ",
                  join(names, ", "));
  }
  return std::make_unique<Kind>(values);
}
}  // namespace

std::unique_ptr<Optimizer> create(const std::string& name, const Options& options) {
  if (name == "sgd") return make<SGD, SgdOptions>(name, options);
  if (name == "adam") return make<Adam, AdamOptions>(name, options);
  if (name == "adamw") return make<AdamW, AdamWOptions>(name, options);
  if (name == "rmsprop") return make<RMSprop, RmspropOptions>(name, options);
  if (name == "adagrad") return make<Adagrad, AdagradOptions>(name, options);
  std::vector<std::string> names{"sgd", "adam", "adamw", "rmsprop", "adagrad"};
  throw UserError("optim", str("no optimiser '", name, "'", did_you_mean(name, names),
                               "; there are ", join(names, ", ")));
}

}  // namespace wafer::optim
