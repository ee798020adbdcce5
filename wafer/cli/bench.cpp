#include <cstdio>
#include <iostream>
#include <optional>

#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/cli/command.h"
#include "wafer/cli/model_argument.h"
#include "wafer/cli/onnx.h"
#include "wafer/eval/profile.h"
#include "wafer/io/file.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/pass/freeze.h"
#include "wafer/runtime/registry.h"
#include "wafer/select/runner.h"

namespace wafer::cli {

namespace {
struct Arguments {
  ModelArgument model;
  bool train = false, infer = false, profile = false;
  double seconds = 3;
  std::string trace;
  std::string precision = "f32";
};

// With the model's weights as constants, as whoever only infers has them.
Graph frozen_graph(const Objective& objective, const Type& input, Precision precision) {
  auto device = default_device();
  std::vector<std::shared_ptr<Storage>> weights;
  auto take = [&](const Tensor& value) {
    value.eval();
    weights.push_back(device->allocate(value.type().bytes()));
    copy_to_device(*device, *value.storage(), *weights.back(), value.type().bytes());
  };
  for (const auto& slot : objective.module->named_parameters()) take(*slot.value);
  for (const auto& slot : objective.module->named_buffers()) take(*slot.value);
  Graph graph = inference_graph(*objective.module, objective.forward, input);
  return freeze(graph, weights, *device, precision);
}

Graph graph_for(const Arguments& arguments, Precision precision, OpenedModel& opened) {
  Type input = with_batch(opened.input, arguments.model.batch_size);
  Objective objective = opened.objective();
  if (arguments.infer) return frozen_graph(objective, input, precision);
  StepOptions options;
  options.precision = precision;
  return train_step_graph(objective, optim::Adam(), options, input,
                          with_batch(opened.target, arguments.model.batch_size));
}

// Runs with the observer: seconds and calls of each node, and the spans of the fastest run.
std::vector<eval::TraceEvent> observe(select::Runner& runner, eval::Profile& profile,
                                      double seconds) {
  std::vector<eval::TraceEvent> events, fastest;
  double at = 0, least = 0;
  RunObserver observer = [&](const StepResult& step) {
    eval::ProfileNode& node = profile.nodes[step.step];
    ++node.calls;
    node.seconds += step.seconds;
    events.push_back({node.op,
                      "kernel",
                      at,
                      step.seconds,
                      0,
                      {{"module", node.module}, {"kernel", node.kernel}}});
    at += step.seconds;
  };
  while (profile.steps < 5 || profile.wall_seconds < seconds) {
    events.clear();
    at = 0;
    profile.wall_seconds += runner.run(&observer);
    ++profile.steps;
    if (fastest.empty() || at < least) {
      least = at;
      fastest = events;
    }
  }
  eval::multiply_costs_by_calls(profile);
  return fastest;
}

// Where the whole graph runs as a scan over parts of the batch (pass/batch_parts): a part, and how
// many there are.
struct Parts {
  std::shared_ptr<const Artifact> one;
  int64_t count = 0;
};
std::optional<Parts> parts_of(const Artifact& artifact, Device& device, int64_t batch) {
  if (artifact.steps.size() != 1 || !artifact.steps[0].node) return std::nullopt;
  const Node& node = *artifact.steps[0].node;
  if (!node.is(op::scan) || node.attr<ScanAttrs>().carries > 0) return std::nullopt;
  const Graph& part = *node.subgraphs[0];
  int64_t count = scan_length(node);
  const Shape& first = part.inputs[0].shape();
  // A model's own scan has other elements.
  if (count < 2 || first.rank() == 0 || first.size(0) * count != batch) return std::nullopt;
  return Parts{device.target().compile(part, {.threads = thread_count()}), count};
}

// The least time that the measured roofline allows for all steps.
double roofline(const eval::Profile& profile) {
  double seconds = 0;
  for (const auto& node : profile.nodes)
    seconds += eval::roofline_seconds(profile, node.flops, node.bytes, node.bf16).value_or(0);
  return seconds;
}

Outcome run_bench(const Arguments& arguments) {
  bool imported = is_onnx(arguments.model.model), infer = arguments.infer || imported;
  WAFER_REQUIRE(!imported || !arguments.train, "bench", "an ONNX model is measured by --infer");
  OpenedModel opened;
  if (!imported) opened = open_model(arguments.model);
  auto device = default_device();
  Precision precision = precision_by_name(arguments.precision);
  if (precision == Precision::automatic) precision = narrow_precision(device->info());
  Graph graph = imported ? onnx_graph(arguments.model.model, arguments.model.batch_size, precision)
                         : graph_for(arguments, precision, opened);
  auto artifact = device->target().compile(graph, {.threads = thread_count()});
  select::Runner runner(*device, artifact);
  eval::Profile profile = eval::start_profile(*artifact, *device);
  double flops = 0;
  for (const auto& node : profile.nodes) flops += node.flops;
  auto parts = parts_of(*artifact, *device, arguments.model.batch_size);
  double least = parts ? static_cast<double>(parts->count) *
                             roofline(eval::start_profile(*parts->one, *device))
                       : roofline(profile);

  auto times = select::measure(runner, arguments.seconds, 10);
  bool on_threads = device->info().threads > 1;
  double apart = on_threads ? thread_round_trip() * 1e9 : 0;
  double mean = 0;
  for (double t : times) mean += t / static_cast<double>(times.size());
  double p50 = select::percentile(times, 0.5), p90 = select::percentile(times, 0.9);
  double p99 = select::percentile(times, 0.99);
  auto batch = static_cast<double>(arguments.model.batch_size);
  size_t memory = artifact->memory.total();

  std::printf("%s of %s, batch %lld, %s, on %s\n", infer ? "inference" : "train step",
              arguments.model.model.c_str(), static_cast<long long>(arguments.model.batch_size),
              std::string(name(precision)).c_str(), profile.device.c_str());
  std::printf("  compile      %.1f ms, %zu steps\n", artifact->compile_seconds * 1e3,
              artifact->steps.size());
  if (parts) {
    std::printf("  parts        %lld of %lld examples, %zu steps each\n",
                static_cast<long long>(parts->count),
                static_cast<long long>(arguments.model.batch_size / parts->count),
                parts->one->steps.size());
  }
  std::printf("  runs         %zu in %.1f s\n", times.size(),
              mean * static_cast<double>(times.size()));
  std::printf("  latency      min %.3f  p50 %.3f  p90 %.3f  p99 %.3f  max %.3f ms\n",
              times.front() * 1e3, p50 * 1e3, p90 * 1e3, p99 * 1e3, times.back() * 1e3);
  std::printf("  throughput   %s examples/s\n",
              human_count(static_cast<int64_t>(batch / mean)).c_str());
  std::printf("  arithmetic   %.3f GFLOP a run, %.1f GFLOP/s\n", flops * 1e-9, flops / p50 * 1e-9);
  if (profile.peak_gflops) {
    std::printf("  roofline     %.0f %% of what %s (measured) allow\n", 100 * least / p50,
                eval::peaks_text(profile).c_str());
  }
  if (on_threads) std::printf("  threads      %.0f ns from one to another and back\n", apart);
  std::printf("  memory       %s planned\n", human_bytes(static_cast<double>(memory)).c_str());

  Outcome outcome;
  outcome.json = {
      {"model", arguments.model.model},
      {"mode", infer ? "infer" : "train"},
      {"device", device->info().name},
      {"threads", thread_count()},
      {"batch_size", arguments.model.batch_size},
      {"precision", std::string(name(precision))},
      {"runs", times.size()},
      {"compile_ms", artifact->compile_seconds * 1e3},
      {"step_ms",
       {{"min", times.front() * 1e3}, {"p50", p50 * 1e3}, {"p90", p90 * 1e3}, {"p99", p99 * 1e3}}},
      {"samples_per_second", batch / mean},
      {"gflops", flops / p50 * 1e-9},
      {"memory_bytes", memory}};
  if (on_threads) outcome.json["thread_round_trip_ns"] = apart;
  if (profile.peak_gflops) outcome.json["roofline_percent"] = 100 * least / p50;
  if (arguments.profile || !arguments.trace.empty()) {
    // Of a batch that runs in parts, one of them is looked into.
    select::Runner looked_at(*device, parts ? parts->one : artifact);
    if (parts) profile = eval::start_profile(*parts->one, *device);
    auto events = observe(looked_at, profile, std::min(arguments.seconds, 2.0));
    if (arguments.profile) {
      std::cout << (parts ? "\nOne part:\n" : "\n") << eval::profile_text(profile);
    }
    if (!arguments.trace.empty()) {
      io::write_file_atomic(arguments.trace, eval::chrome_trace(events));
      std::cout << "trace of the fastest run: " << arguments.trace << " (opens in Perfetto)\n";
      outcome.json["trace"] = arguments.trace;
    }
  }
  std::fflush(stdout);
  return outcome;
}
}  // namespace

void add_bench(CommandLine& line) {
  auto arguments = std::make_shared<Arguments>();
  Command command = line.add("bench", "measure a model's train step or inference on made-up data",
                             "wafer bench cnn --batch-size 64 --train --profile",
                             [arguments](const Common&) { return run_bench(*arguments); });
  add_model_options(command, arguments->model);
  Option train = command.flag("--train", arguments->train, "the train step with Adam (default)");
  command.flag("--infer", arguments->infer, "the model alone").excludes(train);
  command.option("--seconds", arguments->seconds, "how long to measure").positive();
  command.flag("--profile", arguments->profile,
               "time by layer and kernel, with its share of the roofline");
  command.option("--precision", arguments->precision,
                 "auto, f32, bf16 or f16: what products are computed in");
  command.option("--trace", arguments->trace, "write one run as a trace for Perfetto");
}

}  // namespace wafer::cli
