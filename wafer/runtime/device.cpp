#include "wafer/runtime/device.h"

#include <cstring>

#include "wafer/runtime/kernel.h"

namespace wafer {

void StepMemory::copy(void* to, const void* from, size_t bytes) const {
  if (to != from && bytes > 0) std::memmove(to, from, bytes);
}

void StepMemory::read(void* to, const void* from, size_t bytes) const {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

const StepMemory& host_memory() {
  static const StepMemory memory;
  return memory;
}

void copy_to_device(Device& device, const Storage& from, Storage& to, size_t bytes) {
  if (from.on_host()) return device.copy_from_host(from.data(), to, bytes);
  std::vector<std::byte> staged(bytes);
  from.read(staged.data(), bytes);
  device.copy_from_host(staged.data(), to, bytes);
}

std::vector<std::shared_ptr<Storage>> execute(Device& device, const Artifact& artifact,
                                              std::span<const std::shared_ptr<Storage>> inputs,
                                              const RunObserver* observer) {
  WAFER_CHECK(inputs.size() == artifact.inputs.size(), "execute: ", inputs.size(), " inputs for ",
              artifact.inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    WAFER_CHECK(inputs[i] && inputs[i]->bytes() >= artifact.inputs[i].bytes(), "execute: input ", i,
                " is too small for ", artifact.inputs[i]);
  }
  std::vector<std::shared_ptr<Storage>> outputs;
  for (size_t i = 0; i < artifact.outputs.size(); ++i) {
    int alias = i < artifact.alias.size() ? artifact.alias[i] : -1;
    outputs.push_back(alias >= 0 ? inputs[static_cast<size_t>(alias)]
                                 : device.allocate(artifact.outputs[i].bytes()));
  }
  device.run(artifact, inputs, outputs, observer);
  return outputs;
}

}  // namespace wafer
