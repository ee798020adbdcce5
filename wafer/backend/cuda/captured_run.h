#pragma once
#include <memory>
#include <vector>

#include "wafer/backend/cuda/context.h"
#include "wafer/pass/host/host_program.h"

namespace wafer::cuda {

// Runs a program, from its second run on as one CUDA graph: the whole step is one call to the
// driver. A graph has fixed addresses. Inputs and outputs that stay where they are (state, which is
// donated, and weights) are bound to it; those that move between runs (batches, losses) have places
// of their own, from and to which they are copied. Another address of a bound value makes the graph
// anew. A program that looks at values on the host (`while`, `if`) runs step by step.
class CapturedRun {
 public:
  explicit CapturedRun(Context& context) : context_(context) {}
  ~CapturedRun() { forget(); }
  CapturedRun(const CapturedRun&) = delete;
  CapturedRun& operator=(const CapturedRun&) = delete;

  void run(const HostProgram& program, void* const* in, void* const* out, std::byte* arena);

 private:
  struct Addresses {
    std::vector<void*> in, out;
    std::byte* arena = nullptr;
  };
  bool fits(const Addresses& now) const;
  void capture(const HostProgram& program, const Addresses& now);
  void forget();

  Context& context_;
  Addresses last_, bound_;  // of the run before, and of the graph; null where it has a place
  std::vector<std::shared_ptr<Storage>> places_in_, places_out_;
  std::vector<bool> taken_over_;  // inputs that an output takes over
  int captures_ = 0;
  bool impossible_ = false;
  CUgraphExec graph_ = nullptr;
};

}  // namespace wafer::cuda
