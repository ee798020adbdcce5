#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "wafer/runtime/device.h"

namespace wafer::select {

// An artifact with memory for its inputs and outputs, ready to run again and again. Floating inputs
// hold small positive numbers, integers 0 and 1, so that any graph with at least two classes runs
// as it would on data.
class Runner {
 public:
  Runner(Device& device, std::shared_ptr<const Artifact> artifact);

  // Runs once and waits; returns seconds.
  double run(const RunObserver* observer = nullptr);
  const Artifact& artifact() const { return *artifact_; }

 private:
  Device& device_;
  std::shared_ptr<const Artifact> artifact_;
  std::vector<std::shared_ptr<Storage>> inputs_, outputs_;
};

// Seconds of each run, in order of time; runs until `seconds` have passed, at least `least` times
// and after one run that does not count.
std::vector<double> measure(Runner& runner, double seconds, int least = 5);

// Seconds of each step of the artifact: the median of at least `least` runs, and of all that fit
// into `seconds` but no more than 50. The least would be what a step takes at best; a run of a
// hundred steps never has all of them at their best. `between` is called before each run.
std::vector<double> step_times(Runner& runner, double seconds, int least,
                               const std::function<void()>& between = {});

double seconds_since(std::chrono::steady_clock::time_point start);

// The value below which `share` of the sorted values lie.
double percentile(const std::vector<double>& sorted, double share);

}  // namespace wafer::select
