#include "wafer/select/calibration.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/select/calibration_graphs.h"
#include "wafer/select/runner.h"

namespace wafer::select {

namespace {
using Clock = std::chrono::steady_clock;

// One step as it was measured.
struct Measured {
  Work work;
  Traffic traffic;
  double seconds;
};

// A graph to measure, and the shortest time of each of its steps so far.
struct Prepared {
  std::shared_ptr<const Artifact> artifact;
  std::vector<double> seconds;
};

// Something to measure again and again, of which the best counts.
struct Part {
  std::function<void(double seconds)> measure;
  double share;             // of the time for all
  double gauge = HUGE_VAL;  // the shortest that the gauge took around a measurement
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
    parts_.push_back({[this](double) { overheads(); }, 0});
    parts_.push_back({[this](double) { bandwidth(); }, 0});
    parts_.push_back({[this](double) { element_rates(); }, 0});
    for (const Graph& graph : calibration_graphs(device_.info().fast_bf16)) prepare(graph, 1);
    // Other work can slow a machine down for seconds: all is measured at two times far apart, and
    // what never was at full speed again, for some seconds more.
    double shares = 0;
    for (const Part& part : parts_) shares += part.share;
    for (int passes = 2; passes > 0; --passes) {
      double each = std::max(seconds_ - elapsed(), 0.0) / passes / shares;
      for (Part& part : parts_) take(part, each * part.share);
    }
    while (elapsed() < 3 * seconds_ && disturbed()) {
      for (Part& part : parts_) {
        if (!gauge_.full_speed(part.gauge)) take(part, 0.05 * seconds_ * part.share);
      }
    }
    result_.disturbed = disturbed();
    result_.gauge_seconds = gauge_.shortest();
    finish();
    return std::move(result_);
  }

 private:
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  void take(Part& part, double seconds) {
    part.gauge = std::min(part.gauge, gauge_.around([&] { part.measure(seconds); }));
  }

  bool disturbed() const {
    return std::any_of(parts_.begin(), parts_.end(),
                       [&](const Part& part) { return !gauge_.full_speed(part.gauge); });
  }

  std::shared_ptr<const Artifact> compile(const Graph& graph) {
    return device_.target().compile(graph, {.threads = threads_});
  }

  double time_of(const Graph& graph, double seconds, int least = 3) {
    Runner runner(device_, compile(graph));
    // Other work on the machine only ever makes a run slower.
    return measure(runner, seconds, least).front();
  }

  void overheads() {
    auto least = [](double& known, double seconds) {
      known = known > 0 ? std::min(known, seconds) : seconds;
    };
    least(result_.run_seconds, time_of(identity_graph(), 0.002, 20));
    Runner runner(device_, compile(smallest_step_graph()));
    least(result_.step_seconds, step_times(runner, 0.002, 20).at(0));
    double short_scan = time_of(scan_graph(8), 0.005), long_scan = time_of(scan_graph(136), 0.01);
    double turn = std::max(long_scan - short_scan, 0.0) / 128;
    least(result_.iteration_seconds, std::max(turn - result_.step_seconds, 0.0));
  }

  void bandwidth() {
    size_t i = 0;
    for (double bytes = 16e3; bytes < 130e6; bytes *= 4, ++i) {
      Graph graph = stream_graph(static_cast<int64_t>(bytes / 8));
      double seconds = time_of(graph, 0.01) - result_.run_seconds;
      double rate = 1.5 * bytes / std::max(seconds, 1e-9);
      if (i == result_.bandwidth.size()) result_.bandwidth.emplace_back(bytes, rate);
      result_.bandwidth[i].second = std::max(result_.bandwidth[i].second, rate);
      if (seconds > 0.05) break;
    }
    // A larger working set cannot be faster, but small ones are bound by the overhead of a step.
    for (size_t k = result_.bandwidth.size() - 1; k-- > 0;) {
      auto& [bytes, rate] = result_.bandwidth[k];
      rate = std::max(rate, result_.bandwidth[k + 1].second);
    }
  }

  void element_rates() {
    constexpr int64_t count = 16384;
    for (auto& [name, graph] : element_graphs(count)) {
      auto artifact = compile(graph);
      if (artifact->steps.empty()) continue;
      Runner runner(device_, artifact);
      double seconds = 0;
      for (double step : step_times(runner, 0.001, 4)) seconds += step;
      double each = std::max(seconds - result_.step_seconds, 1e-9) / static_cast<double>(count);
      auto [known, added] = result_.element_seconds.emplace(name, each);
      known->second = std::min(known->second, each);
    }
  }

  // A graph, and the bodies of its scans by themselves.
  void prepare(const Graph& graph, double share) {
    auto artifact = compile(graph);
    prepared_.push_back({artifact, std::vector<double>(artifact->steps.size(), HUGE_VAL)});
    size_t at = prepared_.size() - 1;
    parts_.push_back({[this, at](double seconds) { observe(prepared_[at], seconds); }, share});
    for (const StepInfo& step : artifact->steps) {
      constexpr double of_body = 0.1;  // it is small
      if (step.node && step.node->is(op::scan)) prepare(*step.node->subgraphs[0], of_body);
    }
  }

  void observe(Prepared& prepared, double seconds) {
    Runner runner(device_, prepared.artifact);
    auto times = step_times(runner, seconds, 3);
    for (size_t i = 0; i < times.size(); ++i)
      prepared.seconds[i] = std::min(prepared.seconds[i], times[i]);
  }

  void finish() {
    for (const auto& [artifact, seconds] : prepared_) {
      for (size_t i = 0; i < seconds.size(); ++i) {
        const Node* node = artifact->steps[i].node;
        if (!node || node->is(op::scan)) continue;
        measured_.push_back({work_of(*node), traffic_of(*node, artifact->memory), seconds[i]});
      }
    }
    result_.flops_per_second = 1;
    for (const Measured& m : measured_) {
      if (m.work.elementwise()) continue;
      result_.flops_per_second =
          std::max(result_.flops_per_second, m.work.flops / std::max(m.seconds, 1e-9));
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
  double compute = work.flops / flops_per_second;
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

Traffic traffic_of(const Node& node, const MemoryPlan& memory) {
  Traffic traffic;
  double state = 0, all = 0;
  for (const Tensor& input : node.inputs) {
    auto bytes = static_cast<double>(input.type().bytes());
    all += bytes;
    if (input.node().is(op::input)) state += bytes;
  }
  traffic.state_share = all > 0 ? state / all : 0;
  traffic.arena_bytes = static_cast<double>(memory.arena);
  traffic.state_bytes = static_cast<double>(memory.arena + memory.inputs + memory.outputs);
  return traffic;
}

double memory_seconds(const Calibration& calibration, const Work& work, const Traffic& traffic) {
  double state = work.bytes * traffic.state_share, arena = work.bytes - state;
  // What lies between steps was mostly made a few steps ago: little besides went through the
  // caches.
  double recent = std::min(traffic.arena_bytes, 4 * work.bytes);
  return state / calibration.bandwidth_at(traffic.state_bytes) +
         arena / calibration.bandwidth_at(recent);
}

Calibration measure_calibration(Device& device, int threads, double seconds) {
  ThreadScope scope(threads);
  return Measurement(device, threads, seconds).run();
}

}  // namespace wafer::select
