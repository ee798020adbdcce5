#pragma once
#include "wafer/runtime/registry.h"

// Compiles and allocates as the cpu backend does but computes nothing: for plans, memory estimates
// and tests.
namespace wafer::null {

Backend find_backend();

}  // namespace wafer::null
