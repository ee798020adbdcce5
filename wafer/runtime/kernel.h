#pragma once
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"
#include "wafer/runtime/artifact.h"

namespace wafer {

// How a program moves and looks at the memory that its steps work on. This one is the host's own;
// a backend with other memory derives from it, and steps see addresses that only stand for places
// there, which may be calculated with but not be read through.
class StepMemory {
 public:
  virtual ~StepMemory() = default;
  virtual bool on_host() const { return true; }
  // In order with the steps around it; the ranges may overlap.
  virtual void copy(void* to, const void* from, size_t bytes) const;
  // Reads to the host what the steps so far have made.
  virtual void read(void* to, const void* from, size_t bytes) const;
  // Waits for the steps so far. Gives the seconds that the device worked since the last call, where
  // it measures them.
  virtual std::optional<double> finish_step() const { return std::nullopt; }
};
const StepMemory& host_memory();

// What a backend shares among the kernels of one program while it is made.
class KernelSession {
 public:
  virtual ~KernelSession() = default;
};

// Memory of one run of one step. Pointers of unused outputs are null.
struct StepArgs {
  void* const* in;
  void* const* out;
  std::byte* scratch;             // 64-byte aligned
  std::byte* prepared = nullptr;  // what the step's preparation wrote; 64-byte aligned

  template <class T>
  const T* input(size_t index) const {
    return static_cast<const T*>(in[index]);
  }
  template <class T>
  T* output(size_t index) const {
    return static_cast<T*>(out[index]);
  }
};

// Hands out parts of a step's scratch memory, each from a multiple of 64 bytes on: sizes are added
// up when the kernel is made.
class Scratch {
 public:
  // The offset of the part.
  size_t reserve(size_t bytes) {
    size_t at = total_;
    total_ += (bytes + 63) / 64 * 64;
    return at;
  }
  size_t total() const { return total_; }

 private:
  size_t total_ = 0;
};

// A node made ready to run on the host: everything that depends on shapes alone was done when it
// was made.
using Step = std::function<void(const StepArgs&)>;

// What a step reads in many runs: made from lasting inputs before the first, into
// StepArgs::prepared.
struct Preparation {
  size_t bytes = 0;
  Step step;
};

// What a kernel may ask and say while it is made.
struct KernelContext {
  const Target& target;
  std::vector<bool> output_used;   // unused outputs need not be computed
  size_t scratch_bytes = 0;        // set by the kernel: scratch it needs in a run
  size_t kept_bytes = 0;           // set by the kernel: what its library or threads keep
  size_t constant_bytes = 0;       // set by the kernel: constants of the programs it runs
  std::string kernel = "own";      // set by the kernel: what computes the node
  std::vector<bool> lasting = {};  // inputs that hold the same in many runs; may be shorter
  Preparation preparation = {};    // set by the kernel, of such inputs alone
  const StepMemory& memory = host_memory();
  KernelSession* session = nullptr;

  bool lasts(size_t input) const { return input < lasting.size() && lasting[input]; }
};

// Makes a step for a node whose inputs and outputs have static shapes.
using MakeKernel = Step (*)(const Node& node, KernelContext& context);

// The kernel of an op in a host backend; the line `WAFER_KERNEL(op) {` is what the build's table is
// made from.
#define WAFER_KERNEL(op_name) \
  Step kernel_##op_name([[maybe_unused]] const Node& node, [[maybe_unused]] KernelContext& context)

}  // namespace wafer
