#pragma once
#include <string>

#include "wafer/runtime/artifact.h"

namespace wafer::opencl {

// What a device says of itself.
struct Capabilities {
  std::string name, driver, platform;
  bool is_cpu = false;
  bool f64 = true;
  int units = 1;  // cores, multiprocessors
  size_t memory_bytes = 0, largest_buffer = 0;
};

// Whether a device of these capabilities, called `device`, runs the node, and if not, why.
Support supports(const Node& node, const std::string& device, const Capabilities& capabilities);

}  // namespace wafer::opencl
