#include "wafer/backend/reference/reference.h"

#include <unordered_map>

#include "wafer/op/op.h"
#include "wafer/pass/host/host_device.h"
#include "wafer/pass/host/host_program.h"

namespace wafer::reference {

#include "reference_kernels.inc"  // find_kernel

namespace {

class ReferenceTarget : public Target {
 public:
  std::string name() const override { return "reference"; }

  Support supports(const Node& node) const override { return host_support(node, find_kernel); }

  std::shared_ptr<const Artifact> compile(const Graph& graph,
                                          const CompileOptions&) const override {
    return compile_for_host(graph, *this, {}, find_kernel);
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
