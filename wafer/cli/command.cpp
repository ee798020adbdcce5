#include "wafer/cli/command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/runtime/registry.h"

namespace wafer::cli {

namespace {
// The first word that no command or option took, with the nearest one there is; "" when all were.
std::string explain_unknown(CLI::App& app) {
  std::vector<std::string> left = app.remaining(true);
  if (left.empty()) return "";
  std::vector<CLI::App*> commands = app.get_subcommands();
  // Options that are not known come after the words that they were given.
  std::string word = left.front(), where = "wafer";
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
    where += " " + commands.front()->get_name();
    for (const CLI::Option* option : commands.front()->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  const char* kind = word.starts_with("-") ? "option" : commands.empty() ? "command" : "argument";
  return str("[", where, "] no ", kind, " '", word, "'", did_you_mean(word, names), "; `", where,
             " --help` lists what there is");
}
}  // namespace

Option& Option::required() {
  option_->required();
  return *this;
}

Option& Option::positive() {
  option_->check(CLI::PositiveNumber);
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
  return Option(app_->add_option(name, value, help));
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
  command->add_option("--threads", common_.threads, "threads of the cpu device")
      ->check(CLI::PositiveNumber);
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
    std::string unknown = error.get_exit_code() == 0 ? "" : explain_unknown(*app_);
    if (unknown.empty()) return app_->exit(error) == 0 ? 0 : 2;
    std::fprintf(stderr, "wafer: %s\n", unknown.c_str());
    return 2;
  }
  if (!outcome_) return 1;
  if (common_.json) std::cout << outcome_->json.dump() << "\n";
  WAFER_REQUIRE(std::cout.flush(), "standard output", "cannot be written; is the disk full?");
  return outcome_->exit_code;
}

}  // namespace wafer::cli
