#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "wafer/pass/lower.h"
#include "wafer/runtime/device.h"
#include "wafer/runtime/kernel.h"

namespace wafer {

// The kernel that a host backend has for an op, or null.
using KernelLookup = std::function<MakeKernel(const OpDef&)>;

// A lowered graph as a list of steps over one arena: the artifact of backends that run on the host.
class HostProgram : public Artifact {
 public:
  // `inputs` and `outputs`: memory of each, row-major; `arena`: memory.arena bytes, 64-byte
  // aligned; `prepared`: as prepare() left it, may be null where prepared_bytes() is 0.
  void run(void* const* inputs, void* const* outputs, std::byte* arena,
           const RunObserver* observer = nullptr, std::byte* prepared = nullptr) const;

  // What steps make once of inputs that last: prepared_bytes(), 64-byte aligned. Runs with other
  // values of those inputs need another. Other inputs are not read.
  size_t prepared_bytes() const { return prepared_bytes_; }
  void prepare(void* const* inputs, std::byte* prepared) const;

 private:
  friend std::shared_ptr<HostProgram> make_host_program(Graph, const Target&, const KernelLookup&,
                                                        const StepMemory&, KernelSession*, size_t);

  enum class Place { none, input, output, arena, constant };
  struct Location {
    Place place = Place::none;
    size_t at = 0;  // index of the input or output, or offset in the arena
    void* constant = nullptr;
  };
  struct PlannedStep {
    Step step;
    std::vector<Location> in, out;
    Location scratch;
    const Node* node;
    Step preparation;     // null where there is none
    size_t prepared = 0;  // offset
  };
  struct Copy {
    Location from, to;
    size_t bytes;
  };
  class Planner;

  void* address(const Location& location, void* const* inputs, void* const* outputs,
                std::byte* arena) const;
  void observed(size_t step, const StepArgs& args, const RunObserver& observer) const;

  const StepMemory* memory_ = nullptr;
  Graph graph_;  // keeps nodes and constants alive
  std::vector<PlannedStep> planned_;
  std::vector<Copy> copies_before_, copies_after_;
  size_t prepared_bytes_ = 0;

 public:
  // What the device that runs it keeps with it between runs, one run at a time; may be null. Gone
  // before the steps that it is made of.
  std::shared_ptr<void> run_state;
};

// Plans memory (static offsets by lifetime, views for reshapes, in place where safe, donated
// inputs) and makes a step for each node. Control flow runs its subgraphs, compiled for `target`,
// as nested programs. `memory`, which outlives the program, is where its values lie; constants of
// the graph lie there already. Kernels see it and the session in their context. `lasting_inputs`:
// see CompileOptions; those of a program whose prepared memory nobody keeps are none.
std::shared_ptr<HostProgram> make_host_program(Graph graph, const Target& target,
                                               const KernelLookup& lookup,
                                               const StepMemory& memory = host_memory(),
                                               KernelSession* session = nullptr,
                                               size_t lasting_inputs = 0);

// The same from a user's graph, lowered first; it knows how long that took.
std::shared_ptr<const Artifact> compile_for_host(const Graph& graph, const Target& target,
                                                 const LowerOptions& options,
                                                 const KernelLookup& lookup,
                                                 size_t lasting_inputs = 0);

// Whether a node runs by `lookup`'s kernel, or is control flow, in dtypes that ops compute in.
Support host_support(const Node& node, const KernelLookup& lookup);

// Offsets in one arena for blocks of memory that are alive from step `first` to step `last`, both
// included: blocks alive at once never overlap. Greedy by size. Returns the arena's size.
struct MemoryBlock {
  size_t bytes = 0, first = 0, last = 0;
  size_t offset = 0;  // result
};
size_t plan_offsets(std::vector<MemoryBlock>& blocks);

}  // namespace wafer
