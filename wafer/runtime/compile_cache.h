#pragma once
#include <cstddef>
#include <memory>

#include "wafer/runtime/device.h"

namespace wafer {

// Compiles for the device, or gives what was compiled before for an equal graph with equal options.
std::shared_ptr<const Artifact> compile_cached(Device& device, const Graph& graph,
                                               const CompileOptions& options = {});

struct CompileCacheStatistics {
  size_t hits = 0, misses = 0, entries = 0;
};
CompileCacheStatistics compile_cache_statistics();
void clear_compile_cache();

}  // namespace wafer
