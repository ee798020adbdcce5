#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wafer/runtime/artifact.h"

namespace wafer {

// Called after each step of a run, in order: the step's index, its seconds, and what gives its
// outputs in host memory (null for unused ones) until the call ends. Observed runs are slower.
struct StepResult {
  size_t step;
  double seconds;
  const Node& node;
  std::function<const void*(size_t output)> output;
};
using RunObserver = std::function<void(const StepResult&)>;

struct DeviceInfo {
  std::string name;         // "cpu", "cuda:0"
  std::string description;  // "AMD EPYC, 2 threads, avx512"
  int threads = 1;
  size_t memory_bytes = 0;   // what the device has in all
  bool fast_bf16 = false;    // it multiplies bf16 in hardware, faster than f32
  bool fast_f16 = false;     // the same of f16
  bool is_host_cpu = false;  // it is the CPU that the cpu device runs on, by another way
};

// What can run here: owns memory and runs artifacts of its target.
class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceInfo info() const = 0;
  virtual const Target& target() const = 0;

  virtual std::shared_ptr<Storage> allocate(size_t bytes) = 0;
  virtual void copy_to_host(const Storage& from, void* to, size_t bytes) = 0;
  virtual void copy_from_host(const void* from, Storage& to, size_t bytes) = 0;
  // Enqueues a run. Where the artifact has an alias, the output must be that input's storage.
  virtual void run(const Artifact& artifact, std::span<const std::shared_ptr<Storage>> inputs,
                   std::span<const std::shared_ptr<Storage>> outputs,
                   const RunObserver* observer = nullptr) = 0;
  // Waits for what was enqueued; errors of runs surface here.
  virtual void synchronize() = 0;
  // Gives memory back that is kept for later runs.
  virtual void trim() {}
};

// Copies a value from wherever it lies to the device's memory.
void copy_to_device(Device& device, const Storage& from, Storage& to, size_t bytes);

// Allocates the outputs (or takes over inputs as the artifact's alias says) and runs.
std::vector<std::shared_ptr<Storage>> execute(Device& device, const Artifact& artifact,
                                              std::span<const std::shared_ptr<Storage>> inputs,
                                              const RunObserver* observer = nullptr);

}  // namespace wafer
