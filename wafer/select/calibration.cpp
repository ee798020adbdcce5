#include "wafer/select/calibration.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "wafer/base/threads.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/select/calibration_graphs.h"
#include "wafer/select/gauge.h"
#include "wafer/select/traffic.h"

namespace wafer::select {

namespace {
using Clock = std::chrono::steady_clock;

// One step as it was measured.
struct Measured {
  Work work;
  Traffic traffic;
  double seconds;
};

// A graph to measure, and the sum of what each of its steps took each time that counts.
struct Prepared {
  std::unique_ptr<Runner> runner;
  std::vector<double> seconds;
  int times = 0;
};

// Takes what was measured into the result.
using Keep = std::function<void()>;

// Once measured, and how fast the machine was.
struct Take {
  Gauge::Readings readings;
  Keep keep;
};

// Something to measure again and again.
struct Part {
  std::function<Keep(double seconds)> measure;
  double share;  // of the time for all
  std::vector<Take> takes;
};

class Measurement {
 public:
  Measurement(Device& device, int threads, double seconds)
      : device_(device),
        threads_(threads),
        seconds_(seconds),
        start_(Clock::now()),
        gauge_(device, threads) {
    result_.device = device.info().name + ": " + device.info().description;
    result_.threads = threads;
  }

  Calibration run() {
    parts_.push_back({[this](double) { return overheads(); }, 0, {}});
    parts_.push_back({[this](double) { return bandwidth(); }, 0, {}});
    parts_.push_back({[this](double) { return element_rates(); }, 0, {}});
    for (const Graph& graph : calibration_graphs(device_.info().fast_bf16)) prepare(graph, 1);
    // Other work can change a machine's speed for seconds: all is measured at two times far apart,
    // and what was not at the usual speed then, for some seconds more.
    double shares = 0;
    for (const Part& part : parts_) shares += part.share;
    for (int passes = 2; passes > 0; --passes) {
      double each = std::max(seconds_ - elapsed(), 0.0) / passes / shares;
      for (Part& part : parts_) take(part, each * part.share);
    }
    while (elapsed() < 3 * seconds_ && disturbed()) {
      for (Part& part : parts_) {
        if (settled(part)) continue;
        if (!gauge_.await(3 * seconds_ - elapsed())) break;
        take(part, 0.01 * seconds_ * part.share);
      }
    }
    for (const Part& part : parts_) keep(part);
    result_.disturbed = disturbed();
    result_.gauge_seconds = gauge_.usual();
    finish();
    return std::move(result_);
  }

 private:
  double elapsed() const { return seconds_since(start_); }

  void take(Part& part, double seconds) {
    Keep keep;
    auto readings = gauge_.around([&] { keep = part.measure(seconds); });
    part.takes.push_back({readings, std::move(keep)});
  }

  bool settled(const Part& part) const {
    return std::any_of(part.takes.begin(), part.takes.end(),
                       [&](const Take& take) { return gauge_.is_usual(take.readings); });
  }

  // Takes what was measured at the usual speed; where nothing was, what was nearest to it.
  void keep(const Part& part) {
    for (const Take& take : part.takes)
      if (gauge_.is_usual(take.readings)) take.keep();
    if (settled(part)) return;
    std::min_element(part.takes.begin(), part.takes.end(), [&](const Take& a, const Take& b) {
      return gauge_.distance(a.readings) < gauge_.distance(b.readings);
    })->keep();
  }

  bool disturbed() const {
    return !std::all_of(parts_.begin(), parts_.end(),
                        [&](const Part& part) { return settled(part); });
  }

  std::shared_ptr<const Artifact> compile(const Graph& graph) {
    return device_.target().compile(graph, {.threads = threads_});
  }

  double time_of(const Graph& graph, double seconds, int least = 3) {
    Runner runner(device_, compile(graph));
    return percentile(measure(runner, seconds, least), 0.5);
  }

  static void keep_least(double& known, double seconds) {
    known = known > 0 ? std::min(known, seconds) : seconds;
  }

  Keep overheads() {
    double run = time_of(identity_graph(), 0.002, 20);
    Runner runner(device_, compile(smallest_step_graph()));
    double step = step_times(runner, 0.002, 20).at(0);
    double short_scan = time_of(scan_graph(8), 0.005), long_scan = time_of(scan_graph(136), 0.01);
    double iteration = std::max(std::max(long_scan - short_scan, 0.0) / 128 - step, 0.0);
    return [=, this] {
      keep_least(result_.run_seconds, run);
      keep_least(result_.step_seconds, step);
      keep_least(result_.iteration_seconds, iteration);
    };
  }

  Keep bandwidth() {
    double run = time_of(identity_graph(), 0.002, 20);
    std::vector<std::pair<double, double>> rates;
    for (double bytes = 16e3; bytes < 130e6; bytes *= 4) {
      Graph graph = stream_graph(static_cast<int64_t>(bytes / 8));
      double seconds = time_of(graph, 0.01) - run;
      rates.emplace_back(bytes, 1.5 * bytes / std::max(seconds, 1e-9));
      if (seconds > 0.05) break;
    }
    return [=, this] {
      auto& known = result_.bandwidth;
      for (size_t i = 0; i < rates.size(); ++i) {
        if (i == known.size()) known.push_back(rates[i]);
        known[i].second = std::max(known[i].second, rates[i].second);
      }
      // A larger working set cannot be faster, but small ones are bound by the overhead of a step.
      for (size_t k = known.size() - 1; k-- > 0;)
        known[k].second = std::max(known[k].second, known[k + 1].second);
    };
  }

  Keep element_rates() {
    constexpr int64_t count = 16384;
    Runner smallest(device_, compile(smallest_step_graph()));
    double step = step_times(smallest, 0.002, 20).at(0);
    std::map<std::string, double> each;
    for (auto& [name, graph] : element_graphs(count)) {
      auto artifact = compile(graph);
      if (artifact->steps.empty()) continue;
      Runner runner(device_, artifact);
      double seconds = 0;
      for (double part : step_times(runner, 0.001, 4)) seconds += part;
      std::vector<const Node*> nodes = topological_order(graph);
      auto ops = std::count_if(nodes.begin(), nodes.end(), [&op = name](const Node* node) {
        return node->op->elementwise && element_op(*node) == op;
      });
      each[name] = std::max(seconds - step, 1e-9) / static_cast<double>(count * ops);
    }
    return [each, this] {
      for (const auto& [name, seconds] : each) keep_least(result_.element_seconds[name], seconds);
    };
  }

  // A graph, and the bodies of its scans by themselves.
  void prepare(const Graph& graph, double share) {
    auto artifact = compile(graph);
    prepared_.push_back(
        {std::make_unique<Runner>(device_, artifact), std::vector<double>(artifact->steps.size())});
    size_t at = prepared_.size() - 1;
    parts_.push_back(
        {[this, at](double seconds) { return observe(prepared_[at], seconds); }, share, {}});
    for (const StepInfo& step : artifact->steps) {
      constexpr double of_body = 0.1;  // it is small
      if (step.node && step.node->is(op::scan)) prepare(*step.node->subgraphs[0], of_body);
    }
  }

  Keep observe(Prepared& prepared, double seconds) {
    return [&prepared, times = step_times(*prepared.runner, seconds, 3)] {
      for (size_t i = 0; i < times.size(); ++i) prepared.seconds[i] += times[i];
      ++prepared.times;
    };
  }

  void finish() {
    for (const auto& [runner, seconds, times] : prepared_) {
      const Artifact& artifact = runner->artifact();
      std::vector<Traffic> traffic = traffic_of(artifact);
      for (size_t i = 0; i < seconds.size(); ++i) {
        const Node* node = artifact.steps[i].node;
        if (!node || node->is(op::scan)) continue;
        measured_.push_back({work_of(*node), std::move(traffic[i]), seconds[i] / times});
      }
    }
    result_.flops_per_second[str(DType::f32)] = 1;
    for (const Measured& m : measured_) {
      if (m.work.elementwise() || !is_floating(m.work.dtype)) continue;
      double& best = result_.flops_per_second[str(m.work.dtype)];
      best = std::max(best, m.work.flops / std::max(m.seconds, 1e-9));
    }
    for (const Measured& m : measured_) {
      double ideal = result_.ideal_seconds(m.work, memory_seconds(result_, m.work, m.traffic));
      result_.samples.push_back({m.work.kind, m.work.size, std::max(m.seconds, 1e-9) / ideal});
    }
  }

  Device& device_;
  int threads_;
  double seconds_;
  Clock::time_point start_;
  Calibration result_;
  Gauge gauge_;
  std::vector<Part> parts_;
  std::vector<Prepared> prepared_;
  std::vector<Measured> measured_;
};
}  // namespace

double Calibration::flops_per_second_in(DType dtype) const {
  auto found = flops_per_second.find(str(dtype));
  if (found == flops_per_second.end()) found = flops_per_second.find(str(DType::f32));
  WAFER_CHECK(found != flops_per_second.end(), "a calibration without a rate of f32");
  return found->second;
}

double Calibration::bandwidth_at(double bytes) const {
  WAFER_CHECK(!bandwidth.empty(), "a calibration without bandwidths");
  if (bytes <= bandwidth.front().first) return bandwidth.front().second;
  for (size_t i = 1; i < bandwidth.size(); ++i) {
    if (bytes > bandwidth[i].first) continue;
    auto [low, low_rate] = bandwidth[i - 1];
    auto [high, high_rate] = bandwidth[i];
    double part = std::log(bytes / low) / std::log(high / low);
    return low_rate * std::pow(high_rate / low_rate, part);
  }
  return bandwidth.back().second;
}

double Calibration::ideal_seconds(const Work& work, double memory_seconds) const {
  double compute = work.flops / flops_per_second_in(work.dtype);
  if (work.elementwise()) {
    compute = 0;
    for (const auto& [name, count] : work.elements) {
      auto found = element_seconds.find(name);
      if (found == element_seconds.end()) found = element_seconds.find("add f32");
      if (found != element_seconds.end()) compute += found->second * count;
    }
  }
  return step_seconds + std::max(compute, memory_seconds);
}

Calibration measure_calibration(Device& device, int threads, double seconds) {
  ThreadCountScope scope(threads);
  return Measurement(device, threads, seconds).run();
}

}  // namespace wafer::select
