#pragma once
#include <memory>

#include "wafer/ir/storage.h"

namespace wafer::cpu {

// Uninitialised memory, 64-byte aligned and padded to whole cache lines; from 4 MiB on whole pages
// of its own, for which the system is advised to use huge ones. UserError when there is not enough.
std::shared_ptr<Storage> allocate_memory(size_t bytes);

}  // namespace wafer::cpu
