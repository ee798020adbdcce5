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

// Tells a machine at its usual speed from one that other work slows down for a while, by taking a
// thread away every other millisecond, or by multiplying on the same core, which halves what matrix
// units do. It takes the time of a small product on all threads, in bf16 where the device is fast
// in it, again and again for some milliseconds. Usual is what it took, or
// less, around a quarter of the work: that is full speed on a machine that is often at it, and on
// one that hardly ever is, what a user gets.
class Gauge {
 public:
  // `usual`: seconds that are usual; 0: as the readings say. `patience`: seconds that all calls of
  // settle together may spend on working again.
  Gauge(Device& device, int threads, double usual = 0, double patience = 0);

  // The product's times before and after some work, in seconds.
  using Readings = std::pair<double, double>;

  // Takes the product's time, in seconds: the mean of some milliseconds.
  double read();
  // Calls `work` between two readings.
  Readings around(const std::function<void()>& work);
  double usual() const;
  // Whether the speed is the usual one, neither lower nor higher.
  bool is_usual(double seconds) const;
  bool is_usual(const Readings& readings) const {
    return is_usual(readings.first) && is_usual(readings.second);
  }

  // How far the speed was from the usual one: the natural logarithm of the larger ratio.
  double distance(const Readings& readings) const;

  // Waits until the speed is the usual one, for so many seconds at most; whether it is. What it
  // sees meanwhile does not change what is usual.
  bool await(double seconds);

  // Calls `work` until it ran at the usual speed, or patience has ended; at least once.
  void settle(const std::function<void()>& work);

 private:
  double take();

  Runner runner_;
  double usual_, patience_;
  std::vector<double> readings_;
  double last_ = 0;                                 // time taken, read or not
  std::chrono::steady_clock::time_point taken_at_;  // when last_ was
};

// The value below which `share` of the sorted values lie.
double percentile(const std::vector<double>& sorted, double share);

}  // namespace wafer::select
