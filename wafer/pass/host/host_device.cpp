#include "wafer/pass/host/host_device.h"

#include <algorithm>
#include <cstring>

#include "wafer/base/threads.h"
#include "wafer/pass/host/host_program.h"

namespace wafer {

std::shared_ptr<Storage> HostDevice::allocate(size_t bytes) {
  return allocate_host(bytes);
}

void HostDevice::copy_to_host(const Storage& from, void* to, size_t bytes) {
  from.read(to, bytes);
}
void HostDevice::copy_from_host(const void* from, Storage& to, size_t bytes) {
  if (bytes > 0) std::memcpy(to.data(), from, bytes);
}

// The smallest free arena that is large enough. When none is, the free ones are released first, so
// that a process that runs many artifacts keeps the largest arena and not one for each.
std::shared_ptr<Storage> HostDevice::take_arena(size_t bytes) {
  std::lock_guard lock(mutex_);
  auto best = arenas_.end();
  for (auto it = arenas_.begin(); it != arenas_.end(); ++it) {
    if ((*it)->bytes() >= bytes && (best == arenas_.end() || (*it)->bytes() < (*best)->bytes()))
      best = it;
  }
  if (best != arenas_.end()) {
    auto arena = std::move(*best);
    arenas_.erase(best);
    return arena;
  }
  arenas_.clear();
  return allocate(bytes);
}

void HostDevice::give_arena(std::shared_ptr<Storage> arena) {
  std::lock_guard lock(mutex_);
  arenas_.push_back(std::move(arena));
}

void HostDevice::trim() {
  std::lock_guard lock(mutex_);
  arenas_.clear();
}

std::shared_ptr<Storage> HostDevice::reachable(const std::shared_ptr<Storage>& storage) {
  if (storage->on_host()) return storage;
  auto copy = allocate(storage->bytes());
  storage->read(copy->data(), storage->bytes());
  return copy;
}

void HostDevice::run(const Artifact& artifact, std::span<const std::shared_ptr<Storage>> inputs,
                     std::span<const std::shared_ptr<Storage>> outputs,
                     const RunObserver* observer) {
  auto* program = dynamic_cast<const HostProgram*>(&artifact);
  WAFER_CHECK(program != nullptr, "an artifact of another target");
  std::vector<std::shared_ptr<Storage>> reached;
  std::vector<void*> in, out;
  for (const auto& storage : inputs) {
    reached.push_back(reachable(storage));
    in.push_back(reached.back()->data());
  }
  for (const auto& storage : outputs) {
    WAFER_CHECK(reachable(storage) == storage, "an output lies in another device's memory");
    out.push_back(storage->data());
  }
  auto arena = take_arena(artifact.memory.arena);
  // The arena goes back also when a step throws.
  std::shared_ptr<void> give_back(nullptr, [&](void*) { give_arena(std::move(arena)); });
  FlushDenormals flush;
  run_program(*program, in.data(), out.data(), static_cast<std::byte*>(arena->data()), observer);
}

void HostDevice::run_program(const HostProgram& program, void* const* in, void* const* out,
                             std::byte* arena, const RunObserver* observer) {
  program.run(in, out, arena, observer);
}

}  // namespace wafer
