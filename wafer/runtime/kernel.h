#pragma once
#include <functional>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"
#include "wafer/runtime/artifact.h"

namespace wafer {

// Memory of one run of one step. Pointers of unused outputs are null.
struct StepArgs {
  void* const* in;
  void* const* out;
  std::byte* scratch;  // 64-byte aligned

  template <class T>
  const T* input(size_t index) const {
    return static_cast<const T*>(in[index]);
  }
  template <class T>
  T* output(size_t index) const {
    return static_cast<T*>(out[index]);
  }
};

// A node made ready to run on the host: everything that depends on shapes alone was done when it
// was made.
using Step = std::function<void(const StepArgs&)>;

// What a kernel may ask and say while it is made.
struct KernelContext {
  const Target& target;
  std::vector<bool> output_used;  // unused outputs need not be computed
  size_t scratch_bytes = 0;       // set by the kernel: scratch it needs in a run
  std::string kernel = "own";     // set by the kernel: what computes the node
};

// Makes a step for a node whose inputs and outputs have static shapes.
using MakeKernel = Step (*)(const Node& node, KernelContext& context);

// The kernel of an op in a host backend; the line `WAFER_KERNEL(op) {` is what the build's table is
// made from.
#define WAFER_KERNEL(op_name) \
  Step kernel_##op_name([[maybe_unused]] const Node& node, [[maybe_unused]] KernelContext& context)

}  // namespace wafer
