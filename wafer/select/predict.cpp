#include "wafer/select/predict.h"

#include <algorithm>
#include <cmath>

#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/select/traffic.h"

namespace wafer::select {

namespace {
// Ratio of measured to ideal time, and how uncertain it is, as standard deviation of its logarithm.
struct Ratio {
  double value = 1, deviation = 0.7;
};

// `unknown`: what is assumed of a kind that was never measured.
Ratio ratio_of(const Calibration& calibration, const Work& work, const Ratio& unknown) {
  std::vector<std::pair<double, const Sample*>> near;
  for (const Sample& sample : calibration.samples) {
    if (sample.kind == work.kind) near.emplace_back(distance(sample.size, work.size), &sample);
  }
  constexpr size_t neighbours = 4;
  auto count = std::min(neighbours, near.size());
  if (count == 0) return unknown;
  std::partial_sort(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(count), near.end(),
                    [](const auto& a, const auto& b) { return a.first < b.first; });
  double weights = 0, sum = 0, squares = 0, nearest = near[0].first;
  for (size_t i = 0; i < count; ++i) {
    double weight = 1 / (near[i].first * near[i].first + 0.01);
    double value = std::log(near[i].second->ratio);
    weights += weight;
    sum += weight * value;
    squares += weight * value * value;
  }
  double mean = sum / weights;
  double variance = std::max(squares / weights - mean * mean, 0.0);
  return {std::exp(mean), std::min(std::sqrt(variance) + 0.05 * nearest, 1.0)};
}

class Predictor {
 public:
  Predictor(Device& device, const Calibration& calibration)
      : device_(device), calibration_(calibration) {}

  Prediction run(const Artifact& artifact) {
    Prediction result;
    double errors = 0;
    std::vector<Traffic> traffic = traffic_of(artifact);
    for (size_t i = 0; i < artifact.steps.size(); ++i) {
      const StepInfo& step = artifact.steps[i];
      const Cost& work = step.cost;
      auto [seconds, deviation] = step.node ? step_time(*step.node, traffic[i]) : plain(step);
      result.steps.push_back({step.op, step.path, seconds});
      result.seconds += seconds;
      result.flops += work.flops;
      result.bytes += work.bytes;
      errors += seconds * deviation;
    }
    // Half of the errors of single steps cancel; five in a hundred are left to the machine.
    result.relative_error = 0.05 + (result.seconds > 0 ? 0.5 * errors / result.seconds : 0);
    result.seconds += calibration_.run_seconds;
    result.memory_bytes = artifact.memory.total();
    return result;
  }

  struct Time {
    double seconds, deviation;
  };

  Time scan_time(const Node& node) {
    auto length = static_cast<double>(scan_length(node));
    Time body = subgraph_time(*node.subgraphs[0]);
    return {length * (body.seconds + calibration_.iteration_seconds) + calibration_.step_seconds,
            body.deviation};
  }

 private:
  Time subgraph_time(const Graph& graph) {
    auto artifact = compile_cached(device_, graph, {.threads = calibration_.threads});
    Prediction inner = run(*artifact);
    return {inner.seconds - calibration_.run_seconds, 2 * (inner.relative_error - 0.05)};
  }

  Time step_time(const Node& node, const Traffic& traffic) {
    if (node.is(op::scan)) {
      Time ideal = scan_time(node);
      Ratio ratio = ratio_of(calibration_, work_of(node), {1, 0.3});
      return {ideal.seconds * ratio.value, std::max(ideal.deviation, ratio.deviation)};
    }
    if (node.is(op::if_else)) {
      Time a = subgraph_time(*node.subgraphs[0]), b = subgraph_time(*node.subgraphs[1]);
      return {(a.seconds + b.seconds) / 2, 1};
    }
    if (node.is(op::while_loop)) {
      Time a = subgraph_time(*node.subgraphs[0]), b = subgraph_time(*node.subgraphs[1]);
      return {a.seconds + b.seconds, 1};
    }
    Work work = work_of(node);
    double memory_time = memory_seconds(calibration_, work, traffic);
    Ratio ratio = ratio_of(calibration_, work, {2, 0.7});
    return {calibration_.ideal_seconds(work, memory_time) * ratio.value, ratio.deviation};
  }

  // A target that does not show its nodes: the roofline alone.
  Time plain(const StepInfo& step) {
    Work work{step.op, DType::f32, step.cost.flops, step.cost.bytes, {}, {}};
    double memory_time = work.bytes / calibration_.bandwidth_at(work.bytes);
    return {calibration_.ideal_seconds(work, memory_time), 0.7};
  }

  Device& device_;
  const Calibration& calibration_;
};
}  // namespace

Prediction predict(Device& device, const Artifact& artifact, const Calibration& calibration) {
  return Predictor(device, calibration).run(artifact);
}

double ideal_scan_seconds(Device& device, const Node& scan, const Calibration& calibration) {
  return Predictor(device, calibration).scan_time(scan).seconds;
}

}  // namespace wafer::select
