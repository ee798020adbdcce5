#pragma once
#include <memory>

#include "wafer/ir/storage.h"

namespace wafer::cpu {

// Uninitialised memory, 64-byte aligned and padded to whole cache lines; from 4 MiB on whole pages
// of its own, for which the system is advised to use huge ones. UserError when there is not enough.
std::shared_ptr<Storage> allocate_memory(size_t bytes);

// At least so many floats, 64-byte aligned, for what the calling thread works on alone and until it
// calls this again. It is the same memory whatever the thread does, and never another's, unlike a
// part of a step's scratch: it stays in the caches of one core. A kernel counts it as
// kept_bytes.
float* thread_memory(int64_t floats);

}  // namespace wafer::cpu
