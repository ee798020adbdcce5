#include "wafer/select/select.h"

#include <cstdio>
#include <iostream>

#include "wafer/cli/command.h"
#include "wafer/cli/model_argument.h"

namespace wafer::cli {

namespace {
struct Arguments {
  ModelArgument model;
  std::string objective = "throughput", precision = "auto";
  bool verify = false;
};

void print_table(const std::vector<eval::Prediction>& rows) {
  std::printf("\n  %-12s %7s  %-9s %12s %12s %8s\n", "device", "threads", "precision", "predicted",
              "measured", "off by");
  for (const auto& row : rows) {
    if (!row.step_seconds || !row.measured_step_seconds) continue;
    double off = 100 * (*row.step_seconds / *row.measured_step_seconds - 1);
    std::printf("%s %-12s %7lld  %-9s %9.3f ms %9.3f ms %+6.1f %%\n", row.chosen ? "*" : " ",
                row.device.c_str(), static_cast<long long>(row.threads), row.precision.c_str(),
                *row.step_seconds * 1e3, *row.measured_step_seconds * 1e3, off);
  }
}

// How much slower than the best measured the choice was: 0 when it was the best.
double regret(const std::vector<eval::Prediction>& rows) {
  double best = 0, chosen = 0;
  for (const auto& row : rows) {
    if (!row.measured_step_seconds) continue;
    if (best == 0 || *row.measured_step_seconds < best) best = *row.measured_step_seconds;
    if (row.chosen) chosen = *row.measured_step_seconds;
  }
  return best > 0 ? chosen / best - 1 : 0;
}

Json row_json(const eval::Prediction& row) {
  Json json{{"device", row.device},
            {"precision", row.precision},
            {"threads", row.threads},
            {"chosen", row.chosen}};
  if (row.step_seconds) json["predicted_ms"] = *row.step_seconds * 1e3;
  if (row.measured_step_seconds) json["measured_ms"] = *row.measured_step_seconds * 1e3;
  if (row.memory_bytes) json["memory_bytes"] = *row.memory_bytes;
  json["remark"] = row.remark;
  return json;
}

Outcome run_select(const Arguments& arguments, const Common& common) {
  select::Options options;
  options.objective = select::goal_by_name(arguments.objective);
  options.batch_size = arguments.model.batch_size;
  options.device = common.device;
  options.threads = common.threads;
  options.precision = precision_by_name(arguments.precision);
  WAFER_REQUIRE(options.precision != Precision::f16, "--precision",
                "times in f16 are not predicted; expected auto, f32 or bf16");
  options.verify = arguments.verify;
  OpenedModel opened = open_model(arguments.model);
  select::Choice choice =
      select::best_for_types(opened.objective(), opened.input, opened.target, options);
  auto rows = choice.table();
  Outcome outcome;
  outcome.json = {{"model", arguments.model.model},
                  {"objective", arguments.objective},
                  {"batch_size", choice.batch_size},
                  {"device", choice.device->info().name},
                  {"threads", choice.threads},
                  {"precision", std::string(name(choice.precision))},
                  {"predicted_ms", choice.prediction.seconds * 1e3},
                  {"relative_error", choice.prediction.relative_error},
                  {"memory_bytes", choice.prediction.memory_bytes},
                  {"gflop", choice.prediction.flops * 1e-9}};
  for (const auto& row : rows) outcome.json["candidates"].push_back(row_json(row));
  if (arguments.verify) {
    print_table(rows);
    double loss = regret(rows);
    std::printf("\nthe choice is %.1f %% slower than the best measured\n", 100 * loss);
    std::fflush(stdout);
    if (rows[0].measured_step_seconds)
      outcome.json["measured_ms"] = *rows[0].measured_step_seconds * 1e3;
    outcome.json["choice_slower_percent"] = 100 * loss;
  }
  return outcome;
}
}  // namespace

void add_select(CommandLine& line) {
  auto arguments = std::make_shared<Arguments>();
  Command command =
      line.add("select", "predict where a model runs best: device, threads, time a step and memory",
               "wafer select cnn --batch-size 64 --verify",
               [arguments](const Common& common) { return run_select(*arguments, common); });
  add_model_options(command, arguments->model);
  command.option("--objective", arguments->objective, "throughput (default), latency or memory");
  command.option("--precision", arguments->precision, "only this one: f32 or bf16; auto: both")
      .show_default();
  command.flag("--verify", arguments->verify, "also measure every candidate and compare");
}

}  // namespace wafer::cli
