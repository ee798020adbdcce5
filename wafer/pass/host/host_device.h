#pragma once
#include <atomic>
#include <mutex>
#include <vector>

#include "wafer/runtime/device.h"

namespace wafer {

class HostProgram;

// What devices that run HostPrograms share: host memory with accounting, and arenas kept between
// runs.
class HostDevice : public Device {
 public:
  std::shared_ptr<Storage> allocate(size_t bytes) override;
  void copy_to_host(const Storage& from, void* to, size_t bytes) override;
  void copy_from_host(const void* from, Storage& to, size_t bytes) override;
  void run(const Artifact& artifact, std::span<const std::shared_ptr<Storage>> inputs,
           std::span<const std::shared_ptr<Storage>> outputs, const RunObserver* observer) override;
  void synchronize() override {}
  void trim() override;

 protected:
  // The value in memory that this device's programs reach: itself, or a copy.
  virtual std::shared_ptr<Storage> reachable(const std::shared_ptr<Storage>& storage);
  // Runs a program on addresses of memory that it reaches.
  virtual void run_program(const HostProgram& program, void* const* in, void* const* out,
                           std::byte* arena, const RunObserver* observer);

 private:
  std::shared_ptr<Storage> take_arena(size_t bytes);
  void give_arena(std::shared_ptr<Storage> arena);

  std::mutex mutex_;
  std::vector<std::shared_ptr<Storage>> arenas_;  // free ones
};

}  // namespace wafer
