#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <new>
#include <optional>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/cli/command.h"
#include "wafer/runtime/registry.h"

namespace wafer::cli {

namespace {
std::atomic<bool> interrupt_requested = false;
Common common;
std::optional<Outcome> outcome;

extern "C" void on_interrupt(int signal) {
  if (interrupt_requested.exchange(true)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

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

// Exit codes: 0 ok, 1 our fault, 2 the user's input, 130 interrupted.
int run(int argc, char** argv) {
  CLI::App app{
      "wafer: one model, any silicon. Select the hardware, deploy to it, prepare the data, train, "
      "infer,\n"
      "evaluate. `wafer COMMAND --help` shows each command with an example.",
      "wafer"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "wafer 0.1.0");
  add_devices(app);
  add_select(app);
  add_models(app);
  add_check(app);
  add_train(app);
  add_infer(app);
  add_eval(app);
  add_bench(app);
  add_data(app);
  add_doctor(app);
  add_demo(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::string unknown = error.get_exit_code() == 0 ? "" : explain_unknown(app);
    if (unknown.empty()) return app.exit(error) == 0 ? 0 : 2;
    std::fprintf(stderr, "wafer: %s\n", unknown.c_str());
    return 2;
  }
  if (!outcome) return 1;
  if (common.json) std::cout << outcome->json.dump() << "\n";
  WAFER_REQUIRE(std::cout.flush(), "standard output", "cannot be written; is the disk full?");
  return outcome->exit_code;
}
}  // namespace

const std::atomic<bool>& interrupted() {
  return interrupt_requested;
}

CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& description,
                      const std::string& example, std::function<Outcome(const Common&)> run) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  command->add_flag("--json", common.json,
                    "print one JSON object as the last line of standard output");
  command->add_option("--device", common.device, "device to run on, as `wafer devices` names it");
  command->add_option("--threads", common.threads, "threads of the cpu device")
      ->check(CLI::PositiveNumber);
  command->callback([run = std::move(run)] {
    if (common.threads > 0) set_thread_count(common.threads);
    if (!common.device.empty()) set_default_device(device(common.device));
    outcome = run(common);
  });
  return command;
}

}  // namespace wafer::cli

int main(int argc, char** argv) {
  std::signal(SIGINT, wafer::cli::on_interrupt);
  std::signal(SIGTERM, wafer::cli::on_interrupt);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of the write
  try {
    return wafer::cli::run(argc, argv);
  } catch (const wafer::UserError& error) {
    std::fprintf(stderr, "wafer: %s\n", error.what());
    return 2;
  } catch (const std::filesystem::filesystem_error& error) {
    std::fprintf(stderr, "wafer: [%s] %s; check the path and the right to it\n",
                 error.path1().c_str(), error.code().message().c_str());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "wafer: not enough memory; use a smaller batch or model\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "wafer: %s\n", error.what());
    return 1;
  }
}
