#include "wafer/select/gauge.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "wafer/base/error.h"
#include "wafer/select/calibration_graphs.h"

namespace wafer::select {

namespace {
using Clock = std::chrono::steady_clock;

constexpr double window = 0.004;  // seconds of each graph
}  // namespace

Gauge::Gauge(Device& device, int threads, Reading usual, double patience)
    : usual_(std::move(usual)), patience_(patience) {
  for (const Graph& graph : gauge_graphs(device.info().fast_bf16))
    runners_.emplace_back(device, device.target().compile(graph, {.threads = threads}));
  WAFER_CHECK(usual_.empty() || usual_.size() == runners_.size(), "a reading of another gauge");
}

Gauge::Reading Gauge::read() {
  readings_.push_back(take());
  return readings_.back();
}

const Gauge::Reading& Gauge::take() {
  last_.clear();
  for (Runner& runner : runners_) {
    auto times = measure(runner, window, 1);
    last_.push_back(std::accumulate(times.begin(), times.end(), 0.0) /
                    static_cast<double>(times.size()));
  }
  taken_at_ = Clock::now();
  return last_;
}

Gauge::Readings Gauge::around(const std::function<void()>& work) {
  bool just_taken = !last_.empty() && seconds_since(taken_at_) < window;
  Reading before = just_taken ? last_ : read();
  work();
  return {before, read()};
}

Gauge::Reading Gauge::usual() const {
  if (!usual_.empty()) return usual_;
  if (readings_.empty()) return last_;
  Reading result;
  for (size_t i = 0; i < runners_.size(); ++i) {
    std::vector<double> times;
    for (const Reading& reading : readings_) times.push_back(reading[i]);
    std::sort(times.begin(), times.end());
    result.push_back(percentile(times, 0.25));
  }
  return result;
}

bool Gauge::is_usual(const Reading& reading) const {
  Reading expected = usual();
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::abs(reading[i] - expected[i]) >= 0.12 * expected[i] + 3e-6) return false;
  }
  return true;
}

double Gauge::distance(const Readings& readings) const {
  Reading expected = usual();
  double largest = 0;
  for (const Reading* reading : {&readings.first, &readings.second}) {
    for (size_t i = 0; i < expected.size(); ++i)
      largest = std::max(largest, std::abs(std::log((*reading)[i] / expected[i])));
  }
  return largest;
}

bool Gauge::await(double seconds) {
  auto start = Clock::now();
  while (!is_usual(take())) {
    if (seconds_since(start) >= seconds) return false;
  }
  return true;
}

void Gauge::settle(const std::function<void()>& work) {
  if (is_usual(around(work))) return;
  auto start = Clock::now();
  while (seconds_since(start) < patience_) {
    if (await(patience_ - seconds_since(start)) && is_usual(around(work))) break;
  }
  patience_ -= seconds_since(start);
}

}  // namespace wafer::select
