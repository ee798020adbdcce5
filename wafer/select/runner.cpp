#include "wafer/select/runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "wafer/base/error.h"
#include "wafer/select/calibration_graphs.h"

namespace wafer::select {

namespace {
using Clock = std::chrono::steady_clock;

constexpr double gauge_window = 0.004;  // seconds

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::byte> example_values(const Type& type) {
  std::vector<std::byte> bytes(type.bytes());
  if (type.dtype > DType::boolean) return bytes;
  visit(type.dtype, [&]<class T>(std::type_identity<T>) {
    auto* values = reinterpret_cast<T*>(bytes.data());
    for (int64_t i = 0; i < type.elements(); ++i) {
      int64_t at = i * 37 % 101;
      values[i] = is_floating(type.dtype) ? static_cast<T>(0.01 + 0.0002 * static_cast<double>(at))
                                          : static_cast<T>(at % 2);
    }
  });
  return bytes;
}
}  // namespace

Runner::Runner(Device& device, std::shared_ptr<const Artifact> artifact)
    : device_(device), artifact_(std::move(artifact)) {
  for (const Type& type : artifact_->inputs) {
    auto storage = device_.allocate(type.bytes());
    auto bytes = example_values(type);
    device_.copy_from_host(bytes.data(), *storage, bytes.size());
    inputs_.push_back(std::move(storage));
  }
  for (size_t i = 0; i < artifact_->outputs.size(); ++i) {
    int alias = artifact_->alias[i];
    outputs_.push_back(alias >= 0 ? inputs_[static_cast<size_t>(alias)]
                                  : device_.allocate(artifact_->outputs[i].bytes()));
  }
}

double Runner::run(const RunObserver* observer) {
  auto start = Clock::now();
  device_.run(*artifact_, inputs_, outputs_, observer);
  device_.synchronize();
  return seconds_since(start);
}

std::vector<double> measure(Runner& runner, double seconds, int least) {
  runner.run();
  std::vector<double> times;
  auto start = Clock::now();
  do {
    times.push_back(runner.run());
  } while (static_cast<int>(times.size()) < least || seconds_since(start) < seconds);
  std::sort(times.begin(), times.end());
  return times;
}

std::vector<double> step_times(Runner& runner, double seconds, int least) {
  std::vector<double> times(runner.artifact().steps.size(), HUGE_VAL);
  RunObserver observer = [&](const StepResult& step) {
    times[step.step] = std::min(times[step.step], step.seconds);
  };
  runner.run();
  auto start = Clock::now();
  int runs = 0;
  do {
    runner.run(&observer);
  } while (++runs < least || (runs < 50 && seconds_since(start) < seconds));
  return times;
}

Gauge::Gauge(Device& device, int threads, double usual, double patience)
    : runner_(device,
              device.target().compile(gauge_graph(device.info().fast_bf16), {.threads = threads})),
      usual_(usual),
      patience_(patience) {}

double Gauge::read() {
  readings_.push_back(take());
  return readings_.back();
}

double Gauge::take() {
  auto times = measure(runner_, gauge_window, 1);
  last_ = std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
  taken_at_ = Clock::now();
  return last_;
}

Gauge::Readings Gauge::around(const std::function<void()>& work) {
  bool just_taken = last_ > 0 && seconds_since(taken_at_) < gauge_window;
  double before = just_taken ? last_ : read();
  work();
  return {before, read()};
}

double Gauge::usual() const {
  if (usual_ > 0) return usual_;
  if (readings_.empty()) return last_;
  auto sorted = readings_;
  std::sort(sorted.begin(), sorted.end());
  return percentile(sorted, 0.25);
}

bool Gauge::is_usual(double seconds) const {
  double expected = usual();
  return std::abs(seconds - expected) < 0.12 * expected + 3e-6;
}

double Gauge::distance(const Readings& readings) const {
  double expected = usual();
  return std::max(std::abs(std::log(readings.first / expected)),
                  std::abs(std::log(readings.second / expected)));
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

double percentile(const std::vector<double>& sorted, double share) {
  WAFER_CHECK(!sorted.empty(), "a percentile of nothing");
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

}  // namespace wafer::select
