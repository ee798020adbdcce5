#pragma once
#include <mutex>

#include "wafer/kernel/device/queue.h"
#include "wafer/pass/host/host_device.h"

namespace wafer::kernel {

// Whether a device of these capabilities, called `device`, runs the node, and if not, why.
Support supports(const Node& node, const std::string& device, const Capabilities& capabilities);

// Lowers graphs with fusion, plans their memory in one arena and makes their kernels for a queue,
// which outlives it.
class QueueTarget : public Target {
 public:
  QueueTarget(std::string name, Queue& queue) : name_(std::move(name)), queue_(queue) {}

  std::string name() const override { return name_; }
  Support supports(const Node& node) const override;
  std::shared_ptr<const Artifact> compile(const Graph& graph, const CompileOptions&) const override;

 private:
  Graph on_device(const Graph& graph) const;

  std::string name_;
  Queue& queue_;
};

// A device over a queue that lives as long as the process: storages anywhere may belong to it.
class QueueDevice : public HostDevice {
 public:
  QueueDevice(const std::string& name, Queue& queue)
      : name_(name), queue_(queue), target_(name, queue) {}

  DeviceInfo info() const override;
  const Target& target() const override { return target_; }
  std::shared_ptr<Storage> allocate(size_t bytes) override { return queue_.allocate(bytes); }
  void copy_from_host(const void* from, Storage& to, size_t bytes) override {
    queue_.write(to.data(), from, bytes);
  }
  // One run is enqueued at a time; an observer may run something.
  void run(const Artifact& artifact, std::span<const std::shared_ptr<Storage>> inputs,
           std::span<const std::shared_ptr<Storage>> outputs, const RunObserver* observer) override;
  void synchronize() override { queue_.wait(); }

 protected:
  std::shared_ptr<Storage> reachable(const std::shared_ptr<Storage>& storage) override;

 private:
  std::string name_;
  Queue& queue_;
  QueueTarget target_;
  std::recursive_mutex running_;
};

}  // namespace wafer::kernel
