#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"

namespace wafer {

// Bytes that a run of an artifact needs besides its inputs, and what the inputs and outputs take.
struct MemoryPlan {
  size_t inputs = 0;
  size_t outputs = 0;    // without those that take over an input
  size_t constants = 0;  // owned by the artifact
  size_t arena = 0;      // values between ops and scratch of kernels, shared by lifetimes
  size_t unshared = 0;   // what the arena would be without reuse
  size_t kept = 0;       // what libraries and threads keep for themselves, estimated

  size_t total() const { return inputs + outputs + constants + arena + kept; }
};

// What one step of an artifact does, for profiles and errors.
struct StepInfo {
  std::string op;
  std::string path;    // module path
  std::string kernel;  // what computes it, for example "onednn:brgconv" or "portable"
  Cost cost;
  const Node* node = nullptr;  // of the lowered graph, which the artifact keeps alive; may be null
};

// A compiled graph. Immutable and re-entrant; owns no scratch memory.
class Artifact {
 public:
  virtual ~Artifact() = default;

  std::vector<Type> inputs, outputs;
  std::vector<int> alias;  // per output: the input whose buffer it takes over, or -1
  MemoryPlan memory;
  std::vector<StepInfo> steps;
  double compile_seconds = 0;
};

struct CompileOptions {
  int threads = 0;  // 0: the device's setting
  // So many of the inputs, from the last on, hold the same values in many runs: those that a loop
  // captures. Who runs the artifact prepares it for them (HostProgram::prepare).
  size_t lasting_inputs = 0;
  friend bool operator==(const CompileOptions&, const CompileOptions&) = default;
};

// Whether a target can compile a node, and if not, why.
struct Support {
  bool supported = true;
  std::string reason;
  explicit operator bool() const { return supported; }
};

// Everything that can be compiled for, present here or not.
class Target {
 public:
  virtual ~Target() = default;
  virtual std::string name() const = 0;
  virtual Support supports(const Node& node) const = 0;
  // Decomposes what is not supported; UserError naming node, target and reason when that does not
  // help.
  virtual std::shared_ptr<const Artifact> compile(const Graph& graph,
                                                  const CompileOptions& options) const = 0;
};

}  // namespace wafer
