#pragma once
#include "wafer/runtime/kernel.h"
#include "wafer/runtime/registry.h"

// The host's processors: vectorised kernels, oneDNN for contractions where the build has it.
namespace wafer::cpu {

// The kernel of an op, or null.
MakeKernel find_kernel(const OpDef& op);

// Bytes of device memory alive now, and the most that ever were.
struct MemoryUse {
  size_t now = 0, peak = 0;
};
MemoryUse memory_use();

// One device, "cpu", which is always there.
Backend find_backend();

}  // namespace wafer::cpu
