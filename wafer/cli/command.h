#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "wafer/base/error.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

// The command line: one file per command, each of which adds a subcommand and says what it runs.
// command.cpp alone knows the library that parses.
namespace wafer::cli {

using Json = nlohmann::ordered_json;

// Options that every command has.
struct Common {
  bool json = false;   // the last line of standard output is one JSON object
  std::string device;  // "" = WAFER_DEVICE or cpu
  int threads = 0;     // 0 = WAFER_THREADS or all
};

// What a command ran to; `json` is printed as the last line where it was asked for.
struct Outcome {
  int exit_code = 0;
  Json json = Json::object();
};

// One option of a command, to say more of it. A handle: copies mean the same option.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option& required();
  Option& positive();  // a number above 0
  Option& show_default();
  Option& excludes(const Option& other);

 private:
  CLI::Option* option_;
};

// A subcommand. A handle: copies mean the same command.
class Command {
 public:
  Command() = default;
  explicit Command(CLI::App* app) : app_(app) {}
  // An option ("--name", "--name,-n") or a positional argument ("name") that sets `value`, which
  // must outlive the run: a string, a list of strings, int, int64_t, uint64_t or double.
  template <class T>
  Option option(const std::string& name, T& value, const std::string& help);
  Option flag(const std::string& name, bool& value, const std::string& help);
  // Whether the line that was parsed has this option or argument.
  bool given(const std::string& name) const;

 private:
  CLI::App* app_ = nullptr;
};

// The program's commands. A parsed line runs at most one of them.
class CommandLine {
 public:
  CommandLine();
  ~CommandLine();
  // A subcommand with the options of Common, an example in its help, and what it runs.
  Command add(const std::string& name, const std::string& description, const std::string& example,
              std::function<Outcome(const Common&)> run);
  // Parses, runs, prints. Returns the exit code: 0 ok, 1 our fault, 2 the user's input, or what
  // the command ended with. What a command throws passes through.
  int run(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
  Common common_;
  std::unique_ptr<Outcome> outcome_;
};

// UserError that names the option unless the value is `good`.
template <class T>
void require_in_range(bool good, const char* option, const T& value, const char* expected) {
  if (!good) throw UserError(option, "out of range", {.got = str(value), .expected = expected});
}

// From now on the first Ctrl-C or SIGTERM sets the flag in place of ending the process; the second
// ends it.
const std::atomic<bool>& catch_interrupts();

void add_devices(CommandLine& line);
void add_select(CommandLine& line);
void add_models(CommandLine& line);
void add_check(CommandLine& line);
void add_train(CommandLine& line);
void add_import(CommandLine& line);
void add_infer(CommandLine& line);
void add_eval(CommandLine& line);
void add_bench(CommandLine& line);
void add_export(CommandLine& line);
void add_data(CommandLine& line);
void add_doctor(CommandLine& line);
void add_demo(CommandLine& line);

}  // namespace wafer::cli
