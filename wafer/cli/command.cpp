#include "wafer/cli/command.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <limits>
#include <type_traits>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/runtime/registry.h"

namespace wafer::cli {

namespace {
// "wafer train", or "wafer" where no command was named.
std::string command_of(const CLI::App& app) {
  std::vector<CLI::App*> commands = app.get_subcommands();
  return commands.empty() ? "wafer" : "wafer " + commands.front()->get_name();
}

// The first word that no command or option took, with the nearest one there is; "" when all were.
std::string explain_unknown(CLI::App& app) {
  std::vector<std::string> left = app.remaining(true);
  if (left.empty()) return "";
  std::vector<CLI::App*> commands = app.get_subcommands();
  std::string where = command_of(app);
  // Options that are not known come after the words that they were given.
  std::string word = left.front();
  for (const std::string& candidate : left) {
    if (candidate.starts_with("-")) {
      word = candidate.substr(0, candidate.find('='));
      break;
    }
  }
  std::vector<std::string> names;
  if (commands.empty()) {
    for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
      names.push_back(command->get_name());
    }
  } else {
    for (const CLI::Option* option : commands.front()->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  const char* kind = word.starts_with("-") ? "option" : commands.empty() ? "command" : "argument";
  return str("[", where, "] no ", kind, " '", word, "'", did_you_mean(word, names), "; `", where,
             " --help` lists what there is");
}

// What is wrong with words that are known: a value, one too few or too many.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  std::string text = error.what(), where = command_of(app), about = where;
  size_t colon = text.find(": ");
  if (text.starts_with("--") && colon != std::string::npos) {
    about = text.substr(0, colon);
    text = text.substr(colon + 2);
  }
  return str("[", about, "] ", text, "; `", where, " --help` shows an example");
}

// Texts of numbers that a T cannot hold are refused; the parser would clamp or wrap some of them.
template <class T>
std::string explain_number(const std::string& text) {
  T value{};
  auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc() && end == text.data() + text.size()) return "";
  if constexpr (std::is_floating_point_v<T>) return str("not a number; got '", text, "'");
  return str("not a whole number from ", std::numeric_limits<T>::min(), " to ",
             std::numeric_limits<T>::max(), "; got '", text, "'");
}

std::string explain_positive(const std::string& text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value > 0 ? "" : str("out of range; got ", text, "; expected a number above 0");
}
}  // namespace

Option& Option::required() {
  option_->required();
  return *this;
}

Option& Option::positive() {
  option_->check(explain_positive);
  return *this;
}

Option& Option::show_default() {
  option_->capture_default_str();
  return *this;
}

Option& Option::excludes(const Option& other) {
  option_->excludes(other.option_);
  return *this;
}

template <class T>
Option Command::option(const std::string& name, T& value, const std::string& help) {
  CLI::Option* option = app_->add_option(name, value, help);
  if constexpr (std::is_arithmetic_v<T>) option->check(explain_number<T>);
  return Option(option);
}

template Option Command::option(const std::string&, std::string&, const std::string&);
template Option Command::option(const std::string&, std::vector<std::string>&, const std::string&);
template Option Command::option(const std::string&, int&, const std::string&);
template Option Command::option(const std::string&, int64_t&, const std::string&);
template Option Command::option(const std::string&, uint64_t&, const std::string&);
template Option Command::option(const std::string&, double&, const std::string&);

Option Command::flag(const std::string& name, bool& value, const std::string& help) {
  return Option(app_->add_flag(name, value, help));
}

bool Command::given(const std::string& name) const {
  return app_->count(name) > 0;
}

CommandLine::CommandLine()
    : app_(std::make_unique<CLI::App>(
          "wafer: one model, any silicon. Select the hardware, deploy to it, prepare the data, "
          "train, infer,\nevaluate. `wafer COMMAND --help` shows each command with an example.",
          "wafer")) {
  app_->require_subcommand(1);
  app_->set_version_flag("--version", "wafer " WAFER_VERSION);
}

CommandLine::~CommandLine() = default;

Command CommandLine::add(const std::string& name, const std::string& description,
                         const std::string& example, std::function<Outcome(const Common&)> run) {
  CLI::App* command = app_->add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  command->add_flag("--json", common_.json,
                    "print one JSON object as the last line of standard output");
  command->add_option("--device", common_.device, "device to run on, as `wafer devices` names it");
  Command(command).option("--threads", common_.threads, "threads of the cpu device").positive();
  command->callback([this, run = std::move(run)] {
    if (common_.threads > 0) set_thread_count(common_.threads);
    if (!common_.device.empty()) set_default_device(device(common_.device));
    outcome_ = std::make_unique<Outcome>(run(common_));
  });
  return Command(command);
}

int CommandLine::run(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_->exit(error);  // help or the version
    std::string wrong = explain_unknown(*app_);
    if (wrong.empty()) wrong = explain(*app_, error);
    std::fprintf(stderr, "wafer: %s\n", wrong.c_str());
    return 2;
  }
  if (!outcome_) return 1;
  if (common_.json) std::cout << outcome_->json.dump() << "\n";
  WAFER_REQUIRE(std::cout.flush(), "standard output", "cannot be written; is the disk full?");
  return outcome_->exit_code;
}

}  // namespace wafer::cli
