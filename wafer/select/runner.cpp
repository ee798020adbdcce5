#include "wafer/select/runner.h"

#include <algorithm>

#include "wafer/base/error.h"

namespace wafer::select {

namespace {
using Clock = std::chrono::steady_clock;

std::vector<std::byte> example_values(const Type& type) {
  std::vector<std::byte> bytes(type.bytes());
  if (type.dtype > DType::boolean) return bytes;
  visit(type.dtype, [&]<class T>(std::type_identity<T>) {
    auto* values = reinterpret_cast<T*>(bytes.data());
    // A condition for all elements holds, as that of an update by finite gradients does.
    constexpr int64_t first = std::is_same_v<T, bool> ? 1 : 0;
    for (int64_t i = 0; i < type.elements(); ++i) {
      int64_t at = i * 37 % 101;
      values[i] = is_floating(type.dtype) ? static_cast<T>(0.01 + 0.0002 * static_cast<double>(at))
                                          : static_cast<T>((at + first) % 2);
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

std::vector<double> step_times(Runner& runner, double seconds, int least,
                               const std::function<void()>& between) {
  std::vector<std::vector<double>> times(runner.artifact().steps.size());
  RunObserver observer = [&](const StepResult& step) { times[step.step].push_back(step.seconds); };
  runner.run();
  auto start = Clock::now();
  int runs = 0;
  do {
    if (between) between();
    runner.run(&observer);
  } while (++runs < least || (runs < 50 && seconds_since(start) < seconds));
  std::vector<double> medians;
  for (auto& each : times) {
    std::sort(each.begin(), each.end());
    medians.push_back(percentile(each, 0.5));
  }
  return medians;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double percentile(const std::vector<double>& sorted, double share) {
  WAFER_CHECK(!sorted.empty(), "a percentile of nothing");
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

}  // namespace wafer::select
