#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "wafer/base/threads.h"
#include "wafer/runtime/device.h"

namespace wafer::select {

// Sets the number of threads while alive, and restores it after.
class ThreadScope {
 public:
  explicit ThreadScope(int threads) : saved_(thread_count()), count_(threads) {
    set_thread_count(threads);
  }
  ~ThreadScope() { set_thread_count(saved_); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

  int count() const { return count_; }

 private:
  int saved_, count_;
};

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

// Seconds of each step of the artifact: the least of at least `least` runs, and of all that fit
// into `seconds` but no more than 50. Other work on the machine only ever makes a step slower.
std::vector<double> step_times(Runner& runner, double seconds, int least);

// Tells a machine at its full speed from one that other work slows down, as it may for seconds at a
// time, by taking a thread away every other millisecond: a small product on all threads, again and
// again for some milliseconds, beside the shortest time that it was ever seen to take.
class Gauge {
 public:
  // `shortest`: seconds that it was seen to take before; 0: none. `patience`: seconds that all
  // calls of settle together may spend on working again.
  Gauge(Device& device, int threads, double shortest = 0, double patience = 0);

  // Takes the product's time, in seconds: the mean of some milliseconds.
  double read();
  // Calls `work`; the longer of the product's times before and after.
  double around(const std::function<void()>& work);
  // Whether a time taken is one at full speed.
  bool full_speed(double seconds) const { return seconds < 1.12 * shortest_ + 5e-6; }
  double shortest() const { return shortest_; }

  // Calls `work` until it ran at full speed, or patience has ended; at least once.
  void settle(const std::function<void()>& work);

 private:
  Runner runner_;
  double shortest_, patience_;
  double last_ = 0;
  std::chrono::steady_clock::time_point read_at_;  // when last_ was
};

// The value below which `share` of the sorted values lie.
double percentile(const std::vector<double>& sorted, double share);

}  // namespace wafer::select
