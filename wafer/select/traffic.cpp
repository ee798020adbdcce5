#include "wafer/select/traffic.h"

#include <algorithm>
#include <map>
#include <set>

#include "wafer/op/op.h"
#include "wafer/pass/value.h"

namespace wafer::select {

namespace {
// Follows the steps of a run and knows when each value was touched last.
class Tracer {
 public:
  explicit Tracer(const Artifact& artifact)
      : footprint_(static_cast<double>(artifact.memory.arena + artifact.memory.inputs +
                                       artifact.memory.outputs + artifact.memory.constants)),
        arena_(static_cast<double>(artifact.memory.arena)) {
    for (const StepInfo& step : artifact.steps) made_.insert(step.node);
  }

  Traffic step(const StepInfo& step) {
    Traffic traffic;
    if (step.node == nullptr) return traffic;
    double all = 0;
    for (const Tensor& input : step.node->inputs) all += static_cast<double>(input.type().bytes());
    for (const Type& type : step.node->outputs) all += static_cast<double>(type.bytes());
    // All that the step itself touches was touched between two runs of it. A gather touches less
    // than its operands, a scan all of them once though it moves some again in each turn.
    double own = std::min(step.cost.bytes, all), most = std::max(footprint_, own);
    auto operand = [&](size_t bytes, double distance) {
      traffic.shares.emplace_back(static_cast<double>(bytes) / std::max(all, 1.0), distance);
    };
    std::vector<Value> touched;
    for (const Tensor& input : step.node->inputs) {
      touched.push_back(key(origin(input)));
      auto last = last_.find(touched.back());
      double since = last == last_.end() ? most : time_ - last->second;
      operand(input.type().bytes(), std::clamp(since, own, most));
    }
    // The memory of results held other values until some steps ago.
    for (const Type& type : step.node->outputs)
      operand(type.bytes(), std::min(4 * own, std::max(arena_, own)));
    time_ += own;
    for (const Value& value : touched) last_[value] = time_;
    for (size_t i = 0; i < step.node->outputs.size(); ++i)
      last_[{step.node, static_cast<int>(i)}] = time_;
    return traffic;
  }

 private:
  // The value whose memory is read: what is no step shows its first input in another shape.
  Tensor origin(Tensor value) const {
    while (!made_.contains(&value.node()) && !value.node().inputs.empty())
      value = value.node().inputs[0];
    return value;
  }

  double footprint_, arena_;
  double time_ = 0;             // in bytes touched
  std::set<const Node*> made_;  // by steps
  std::map<Value, double> last_;
};
}  // namespace

double Traffic::distance() const {
  double sum = 0;
  for (auto [share, distance] : shares) sum += share * distance;
  return sum;
}

std::vector<Traffic> traffic_of(const Artifact& artifact) {
  Tracer tracer(artifact);
  std::vector<Traffic> traffic;
  // What the first run leaves in caches is there for the second.
  for (int run = 0; run < 2; ++run) {
    traffic.clear();
    for (const StepInfo& step : artifact.steps) traffic.push_back(tracer.step(step));
  }
  return traffic;
}

double memory_seconds(const Calibration& calibration, const Work& work, const Traffic& traffic) {
  double seconds = 0;
  for (auto [share, distance] : traffic.shares)
    seconds += work.bytes * share / calibration.bandwidth_at(distance);
  return seconds;
}

}  // namespace wafer::select
