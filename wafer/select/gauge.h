#pragma once
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "wafer/select/runner.h"

namespace wafer::select {

// Tells a machine at its usual speed from one that other work slows down for a while: by taking a
// thread away every other millisecond, by multiplying on the same core, which halves what matrix
// units do, or by keeping threads apart, which makes them wait for each other. It runs each of
// gauge_graphs on all threads, again and again for some milliseconds. Usual is what each took, or
// less, around a quarter of the work: that is full speed on a machine that is often at it, and on
// one that hardly ever is, what a user gets.
class Gauge {
 public:
  // Seconds of each of gauge_graphs.
  using Reading = std::vector<double>;
  // Those before and after some work.
  using Readings = std::pair<Reading, Reading>;

  // `usual`: the reading that is usual; empty: as the readings say. `patience`: seconds that all
  // calls of settle together may spend on working again.
  Gauge(Device& device, int threads, Reading usual = {}, double patience = 0);

  // Takes the times, each the mean of some milliseconds.
  Reading read();
  // Calls `work` between two readings.
  Readings around(const std::function<void()>& work);
  Reading usual() const;
  // Whether the speed is the usual one, neither lower nor higher.
  bool is_usual(const Reading& reading) const;
  bool is_usual(const Readings& readings) const {
    return is_usual(readings.first) && is_usual(readings.second);
  }

  // How far the speed was from the usual one: the natural logarithm of the largest ratio.
  double distance(const Readings& readings) const;

  // Waits until the speed is the usual one, for so many seconds at most; whether it is. What it
  // sees meanwhile does not change what is usual.
  bool await(double seconds);

  // Calls `work` until it ran at the usual speed, or patience has ended; at least once.
  void settle(const std::function<void()>& work);

 private:
  const Reading& take();

  std::vector<Runner> runners_;
  Reading usual_;
  double patience_;
  std::vector<Reading> readings_;
  Reading last_;                                    // taken, read or not
  std::chrono::steady_clock::time_point taken_at_;  // when last_ was
};

}  // namespace wafer::select
