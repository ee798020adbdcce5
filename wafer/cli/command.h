#pragma once
#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// The command line: one file per command, each of which adds a subcommand and says what it runs.
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

// A subcommand with the options of Common, an example in its help, and what it runs.
CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& description,
                      const std::string& example, std::function<Outcome(const Common&)> run);

// Set by Ctrl-C once; a second Ctrl-C ends the process at once.
const std::atomic<bool>& interrupted();

void add_devices(CLI::App& app);
void add_select(CLI::App& app);
void add_models(CLI::App& app);
void add_check(CLI::App& app);
void add_train(CLI::App& app);
void add_infer(CLI::App& app);
void add_eval(CLI::App& app);
void add_bench(CLI::App& app);
void add_data(CLI::App& app);
void add_doctor(CLI::App& app);
void add_demo(CLI::App& app);

}  // namespace wafer::cli
