#pragma once
#include <cstdint>
#include <limits>

namespace wafer::onnx {

// What a model may make this process compute and hold; UserError naming the node beyond.
struct Limits {
  // Nodes of functions, and of subgraphs at each step.
  int64_t nodes = 1'000'000;
  // Strings and sequences at a time.
  int64_t host_bytes = int64_t{1024} << 20;
  // Of a tensor that is computed.
  int64_t elements = std::numeric_limits<int64_t>::max();
  // Operations, and bytes read and written, of all that is computed. Where there is a limit, so
  // that a stranger's model ends in time, loops whose length is not known are not run.
  double work = std::numeric_limits<double>::infinity();

  bool limits_work() const { return work < std::numeric_limits<double>::infinity(); }
  bool limits_elements() const { return elements < std::numeric_limits<int64_t>::max(); }

  // Of a model that is read or compiled ahead: about a second. What is computed then are sizes and
  // conditions; running it comes later, under limits of its own.
  static constexpr Limits ahead() { return {100'000, int64_t{16} << 20, int64_t{1} << 22, 5e8}; }
};

}  // namespace wafer::onnx
