#include "wafer/select/select.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>

#include "wafer/base/log.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/op/loss.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/runtime/registry.h"
#include "wafer/select/gauge.h"
#include "wafer/select/try_kernels.h"

namespace wafer::select {

namespace {
// Devices that models run on: all but those for comparison and planning.
std::vector<std::shared_ptr<Device>> usable_devices(const std::string& only) {
  if (!only.empty()) return {device(only)};
  std::vector<std::shared_ptr<Device>> found;
  for (const Backend& backend : backends()) {
    if (backend.name == "reference" || backend.name == "null") continue;
    // The CPU by another way is considered when it is asked for.
    for (const auto& device : backend.devices) {
      if (!device->info().is_host_cpu) found.push_back(device);
    }
  }
  return found;
}

// Whether the number of threads is a setting of the device: then what it says of itself follows it.
bool has_threads(Device& device) {
  for (int count : {1, 2}) {
    ThreadCountScope scope(count);
    if (device.info().threads != count) return false;
  }
  return true;
}

// Every number up to four, then powers of two and all.
std::vector<int> thread_counts(Device& device, int only) {
  if (!has_threads(device)) return {0};
  if (only > 0) return {only};
  std::vector<int> counts;
  int all = available_cpus();
  for (int count = 1; count < all; count += count < 4 ? 1 : count) counts.push_back(count);
  counts.push_back(all);
  return counts;
}

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// Predicted and measured seconds of all steps of each op.
void log_steps(const Prediction& prediction, const std::vector<double>& measured) {
  std::map<std::string, std::pair<double, double>> by_op;
  for (size_t i = 0; i < measured.size(); ++i) {
    auto& [predicted, actual] = by_op[prediction.steps[i].op];
    predicted += prediction.steps[i].seconds;
    actual += measured[i];
  }
  for (const auto& [op, seconds] : by_op) {
    log("select", str(op, ": predicted ", number(seconds.first * 1e6, 0), ", measured ",
                      number(seconds.second * 1e6, 0), " microseconds"));
  }
}

std::vector<Precision> precisions(Device& device, Precision wanted) {
  if (wanted != Precision::automatic) return {wanted};
  if (device.info().fast_bf16) return {Precision::f32, Precision::bf16};
  return {Precision::f32};
}

// What is known of each device with each number of threads. Measured once for all precisions, so
// that they are compared at one speed of the machine.
using Calibrations = std::map<std::pair<const Device*, int>, std::shared_ptr<const Calibration>>;

Candidate consider(const std::shared_ptr<Device>& device, int threads, Precision precision,
                   const Graph& graph, Calibrations& calibrations) {
  ThreadCountScope scope(threads > 0 ? threads : thread_count());
  Candidate candidate{device, device->info().name, precision, threads, {}, {}, {}, ""};
  auto& known = calibrations[{device.get(), scope.count()}];
  if (!known) known = calibrate(*device, scope.count());
  candidate.calibration = known;
  try {
    auto artifact = compile_cached(*device, graph, {.threads = scope.count()});
    candidate.calibration = known = try_kernels(*device, *artifact, known);
    candidate.prediction = predict(*device, *artifact, *candidate.calibration);
    candidate.remark = str("predicted, give or take ",
                           std::lround(100 * candidate.prediction->relative_error), " %");
  } catch (const UserError& error) {
    candidate.remark = error.what();
  }
  return candidate;
}

// A candidate that is measured, part by part, on the threads that are set where it is made.
class Verification {
 public:
  Verification(const Graph& graph, Candidate& candidate)
      : candidate_(candidate),
        threads_(thread_count()),
        artifact_(compile_cached(*candidate.device, graph, {.threads = threads_})),
        gauge_(*candidate.device, threads_, candidate.calibration->gauge_seconds) {}

  void take_part() {
    ThreadCountScope scope(threads_);
    Runner runner(*candidate_.device, artifact_);
    double part = 0;
    gauge_.await(0.3);
    auto readings = gauge_.around([&] { part = percentile(measure(runner, 0.1, 3), 0.5); });
    usual_ += gauge_.is_usual(readings);
    parts_.push_back({gauge_.distance(readings), part});
  }
  bool enough() const { return usual_ >= least; }

  // The median step of the parts at the speed that the prediction is for; of the nearest to it
  // where the machine was at it too seldom.
  void finish() {
    std::sort(parts_.begin(), parts_.end(),
              [](const Part& a, const Part& b) { return a.distance < b.distance; });
    auto count = std::min(parts_.size(), static_cast<size_t>(std::max(usual_, least)));
    std::vector<double> seconds;
    for (size_t i = 0; i < count; ++i) seconds.push_back(parts_[i].step_seconds);
    std::sort(seconds.begin(), seconds.end());
    candidate_.measured_seconds = percentile(seconds, 0.5);
    if (!log_enabled("select")) return;
    ThreadCountScope scope(threads_);
    Runner runner(*candidate_.device, artifact_);
    log("select", str(usual_, " of ", parts_.size(), " parts at the usual speed"));
    log_steps(*candidate_.prediction, step_times(runner, 0.5, 5));
  }

 private:
  struct Part {
    double distance;  // of the machine's speed from the usual one
    double step_seconds;
  };

  Candidate& candidate_;
  int threads_;
  std::shared_ptr<const Artifact> artifact_;
  Gauge gauge_;
  static constexpr int least = 3;  // parts at the usual speed
  int usual_ = 0;                  // parts at it
  std::vector<Part> parts_;
};

// Measures all candidates in turns, so that what slows the machine down for a while meets them all,
// and those longer that it met too often.
void measure_all(std::vector<Verification>& verifications) {
  constexpr int least = 6, most = 16;
  for (int round = 0; round < most; ++round) {
    for (Verification& verification : verifications)
      if (round < least || !verification.enough()) verification.take_part();
  }
  for (Verification& verification : verifications) verification.finish();
}

// Lower is better.
double score(const Candidate& candidate, Goal objective) {
  if (!candidate.prediction) return HUGE_VAL;
  return objective == Memory ? static_cast<double>(candidate.prediction->memory_bytes)
                             : candidate.prediction->seconds;
}

// Equal memory is decided by time, times within a hundredth by the number of threads.
bool better(const Candidate& a, const Candidate& b, Goal objective) {
  double x = score(a, objective), y = score(b, objective);
  if (objective == Memory && x == y) return score(a, Throughput) < score(b, Throughput);
  if (std::abs(x - y) <= 0.01 * std::min(x, y)) return a.threads < b.threads;
  return x < y;
}

std::string threads_text(int threads) {
  if (threads == 0) return "";
  return str(", ", threads, threads == 1 ? " thread" : " threads");
}

std::string milliseconds(double seconds) {
  return number(seconds * 1e3, seconds < 1e-3 ? 3 : seconds < 1e-2 ? 2 : 1) + " ms";
}

// "conv 31 %, conv_weight_gradient 22 %, fused 15 %".
std::string largest_parts(const Prediction& prediction) {
  std::map<std::string, double> by_op;
  double all = 0;
  for (const StepPrediction& step : prediction.steps) {
    by_op[step.op] += step.seconds;
    all += step.seconds;
  }
  std::vector<std::pair<double, std::string>> parts;
  for (const auto& [op, seconds] : by_op) parts.emplace_back(-seconds, op);
  std::sort(parts.begin(), parts.end());
  std::vector<std::string> words;
  for (size_t i = 0; i < parts.size() && i < 3; ++i)
    words.push_back(str(parts[i].second, " ", std::lround(-100 * parts[i].first / all), " %"));
  return join(words, ", ");
}

Shape batched(const Shape& shape, int64_t batch) {
  auto dims = shape.dims();
  dims.insert(dims.begin(), Dim(batch));
  return Shape(std::move(dims));
}
}  // namespace

Goal goal_by_name(const std::string& name) {
  if (name == "throughput") return Throughput;
  if (name == "latency") return Latency;
  if (name == "memory") return Memory;
  throw UserError("objective", str("no objective '", name, "'",
                                   did_you_mean(name, {"throughput", "latency", "memory"}),
                                   "; there are throughput, latency, memory"));
}

std::string name(Goal goal) {
  return goal == Throughput ? "throughput" : goal == Latency ? "latency" : "memory";
}

Choice best_for(const Graph& graph, const Options& options) {
  Choice choice;
  choice.objective = options.objective;
  choice.batch_size = options.batch_size;
  std::vector<Graph> programs;
  Calibrations calibrations;
  for (const auto& device : usable_devices(options.device)) {
    for (Precision precision : precisions(*device, options.precision)) {
      Graph program = apply_precision(graph, precision);
      for (int threads : thread_counts(*device, options.threads)) {
        choice.candidates.push_back(consider(device, threads, precision, program, calibrations));
        programs.push_back(program);
      }
    }
  }
  if (options.verify) {
    std::vector<Verification> verifications;
    for (size_t i = 0; i < programs.size(); ++i) {
      Candidate& candidate = choice.candidates[i];
      if (!candidate.prediction) continue;
      ThreadCountScope scope(candidate.threads > 0 ? candidate.threads : thread_count());
      verifications.emplace_back(programs[i], candidate);
    }
    measure_all(verifications);
  }
  std::stable_sort(
      choice.candidates.begin(), choice.candidates.end(),
      [&](const Candidate& a, const Candidate& b) { return better(a, b, options.objective); });
  for (const Backend& backend : backends()) {
    if (!backend.devices.empty() || !options.device.empty()) continue;
    choice.candidates.push_back(
        {nullptr, backend.name, {}, 0, {}, {}, {}, "absent: " + backend.absent_reason});
  }
  if (choice.candidates.empty() || !choice.candidates[0].prediction) {
    throw UserError("select", "no device here can run this model",
                    {.got = choice.candidates.empty() ? "no device" : choice.candidates[0].remark,
                     .hint = "`wafer devices` lists what is here"});
  }
  const Candidate& first = choice.candidates[0];
  choice.device = first.device;
  choice.threads = first.threads;
  choice.precision = *first.precision;
  choice.prediction = *first.prediction;
  choice.flops_per_second = first.calibration->flops_per_second_in(
      choice.precision == Precision::bf16 ? DType::bf16 : DType::f32);
  choice.bytes_per_second = first.calibration->bandwidth.back().second;
  if (choice.threads > 0) set_thread_count(choice.threads);
  if (options.print) std::cout << choice.text() << std::flush;
  return choice;
}

Choice best_for_types(const Objective& objective, const Type& input, const Type& target,
                      const Options& options) {
  Options used = options;
  if (options.objective == Latency) {
    used.batch_size = 1;
    return best_for(inference_graph(*objective.module, objective.forward,
                                    {input.dtype, batched(input.shape, 1)}),
                    used);
  }
  WAFER_REQUIRE(options.batch_size > 0, "select", "the batch size must be positive; got ",
                options.batch_size);
  auto optimizer = options.optimizer ? options.optimizer : std::make_shared<optim::Adam>();
  return best_for(train_step_graph(objective, *optimizer, {},
                                   {input.dtype, batched(input.shape, options.batch_size)},
                                   {target.dtype, batched(target.shape, options.batch_size)}),
                  used);
}

Choice best_for_data(nn::Module& model, ForwardFunction forward, const data::Dataset& dataset,
                     const Options& options) {
  bool regression = dataset.task() == data::Task::regression;
  LossFunction loss = options.loss;
  if (!loss) {
    loss = [regression](const Tensor& output, const Tensor& target) {
      return regression ? mse_loss(output, target) : cross_entropy(output, target);
    };
  }
  return best_for_types({&model, std::move(forward), std::move(loss), !regression},
                        {dataset.input_dtype(), dataset.input_shape()},
                        {dataset.target_dtype(), dataset.target_shape()}, options);
}

std::string Choice::text() const {
  const Prediction& p = prediction;
  std::string what = objective == Latency ? "for one example" : str("a step of ", batch_size);
  std::string text = str("select: ", device->info().name, threads_text(threads), ", ",
                         name(precision), ": ", milliseconds(p.seconds), " ", what,
                         " predicted (give or take ", std::lround(100 * p.relative_error), " %)");
  if (objective != Latency)
    text += str(", ", human_count(std::llround(static_cast<double>(batch_size) / p.seconds)),
                " examples/s");
  text += str(", ", human_bytes(static_cast<double>(p.memory_bytes)), "\n");
  text += str("  why: ", number(p.flops * 1e-9, 3), " GFLOP and ", number(p.bytes * 1e-6, 1),
              " MB at up to ", number(flops_per_second * 1e-9, 0), " GFLOP/s and ",
              number(bytes_per_second * 1e-9, 1), " GB/s as measured here; most of it ",
              largest_parts(p), "\n");
  std::vector<std::string> others;
  for (size_t i = 1; i < candidates.size(); ++i) {
    const Candidate& c = candidates[i];
    std::string label = str(c.device_name, threads_text(c.threads), c.precision ? " " : "",
                            c.precision ? name(*c.precision) : "");
    if (c.prediction) {
      others.push_back(
          objective == Memory
              ? str(label, " ", human_bytes(static_cast<double>(c.prediction->memory_bytes)))
              : str(label, " ", milliseconds(c.prediction->seconds)));
    } else if (!c.device) {
      others.push_back(str(label, " (absent)"));  // `wafer devices` says why
    } else {
      others.push_back(str(label, " (", c.remark, ")"));
    }
  }
  text += str("  instead of: ", others.empty() ? "nothing else is here" : join(others, "; "), "\n");
  return text;
}

std::vector<eval::Prediction> Choice::table() const {
  std::vector<eval::Prediction> rows;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& c = candidates[i];
    eval::Prediction row;
    row.device = c.device_name;
    if (c.precision) row.precision = name(*c.precision);
    row.threads = c.threads;
    row.chosen = i == 0;
    row.remark = c.remark;
    row.measured_step_seconds = c.measured_seconds;
    if (c.prediction) {
      row.step_seconds = c.prediction->seconds;
      row.memory_bytes = static_cast<double>(c.prediction->memory_bytes);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace wafer::select
