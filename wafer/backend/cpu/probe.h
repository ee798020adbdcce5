#pragma once
#include "wafer/runtime/peak.h"

namespace wafer::cpu {

// Measures with thread_count() threads: the best of several short runs.
Peaks measure_peaks();

}  // namespace wafer::cpu
