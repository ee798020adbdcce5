#include "wafer/backend/reference/reference.h"

#include <chrono>
#include <unordered_map>

#include "wafer/op/op.h"
#include "wafer/pass/host/control_flow.h"
#include "wafer/pass/host/host_device.h"
#include "wafer/pass/host/host_program.h"
#include "wafer/pass/lower.h"

namespace wafer::reference {

#define WAFER_KERNEL_ENTRY(op_name) Step kernel_##op_name(const Node&, KernelContext&);
#include "reference_kernels.inc"
#undef WAFER_KERNEL_ENTRY

MakeKernel find_kernel(const OpDef& op) {
  static const std::unordered_map<const OpDef*, MakeKernel> table = {
#define WAFER_KERNEL_ENTRY(op_name) {&op::op_name, kernel_##op_name},
#include "reference_kernels.inc"
#undef WAFER_KERNEL_ENTRY
  };
  auto found = table.find(&op);
  return found == table.end() ? nullptr : found->second;
}

namespace {

class ReferenceTarget : public Target {
 public:
  std::string name() const override { return "reference"; }

  Support supports(const Node& node) const override {
    if (!find_kernel(*node.op) && !control_flow_kernel(*node.op))
      return {false, "it has no kernel"};
    for (const Type& type : node.outputs) {
      if (type.dtype > DType::boolean) return {false, str("no op computes in ", type.dtype)};
    }
    return {};
  }

  std::shared_ptr<const Artifact> compile(const Graph& graph,
                                          const CompileOptions&) const override {
    auto start = std::chrono::steady_clock::now();
    auto program = make_host_program(lower(graph, *this, {}), *this, find_kernel);
    program->compile_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return program;
  }
};

class ReferenceDevice : public HostDevice {
 public:
  DeviceInfo info() const override {
    return {.name = "reference", .description = "plain C++ in double, one thread: for comparison"};
  }
  const Target& target() const override { return target_; }

 private:
  ReferenceTarget target_;
};

}  // namespace

Backend find_backend() {
  return {"reference", {std::make_shared<ReferenceDevice>()}, ""};
}

}  // namespace wafer::reference
