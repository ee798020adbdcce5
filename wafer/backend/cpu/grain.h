#pragma once
#include <cstdint>

// How a pass over memory is split between threads. The numbers depend on nothing else, so results
// do not depend on the number of threads.
namespace wafer::cpu {

constexpr int64_t grain_elements = 16384;  // fewer are not worth a thread, or a partial result
constexpr int64_t most_parts = 16;         // partial results that are added at the end

}  // namespace wafer::cpu
