#include "wafer/backend/null/null.h"

#include "wafer/pass/host/host_device.h"
#include "wafer/pass/host/host_program.h"

namespace wafer::null {

namespace {

Step do_nothing(const Node&, KernelContext& context) {
  context.kernel = "none";
  return [](const StepArgs&) {};
}

class NullTarget : public Target {
 public:
  std::string name() const override { return "null"; }
  // Primitives only, so that every decomposition is exercised.
  Support supports(const Node& node) const override {
    return {node.op->is_primitive(), "composites are decomposed here"};
  }
  std::shared_ptr<const Artifact> compile(const Graph& graph,
                                          const CompileOptions&) const override {
    LowerOptions lowering{.channels_last = [](const Node&) { return true; },
                          .fuse_elementwise = true,
                          .fold_constants = true};
    return compile_for_host(graph, *this, lowering,
                            [](const OpDef&) -> MakeKernel { return do_nothing; });
  }
};

class NullDevice : public HostDevice {
 public:
  DeviceInfo info() const override {
    return {.name = "null", .description = "compiles and plans memory, computes nothing"};
  }
  const Target& target() const override { return target_; }
  // Outputs stay as they were allocated, so a run has nothing to do.
  void run(const Artifact&, std::span<const std::shared_ptr<Storage>>,
           std::span<const std::shared_ptr<Storage>>, const RunObserver*) override {}

 private:
  NullTarget target_;
};

}  // namespace

Backend find_backend() {
  return {"null", {std::make_shared<NullDevice>()}, ""};
}

}  // namespace wafer::null
