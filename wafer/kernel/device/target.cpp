#include "wafer/kernel/device/target.h"

#include <algorithm>
#include <chrono>

#include "wafer/kernel/device/followers.h"
#include "wafer/kernel/device/session.h"
#include "wafer/kernel/program.h"
#include "wafer/op/op.h"
#include "wafer/pass/host/control_flow.h"
#include "wafer/pass/host/host_program.h"

namespace wafer::kernel {

namespace {
// Kernels count elements in 32 bits.
constexpr int64_t most_elements = int64_t{1} << 30;

Step make_fused(const Node& node, KernelContext& context) {
  if (auto group = contraction_group(node)) return make_with_followers(node, *group, context);
  return make_elementwise(node, context);
}

MakeKernel lookup(const OpDef& op) {
  if (&op == &op::fused) return make_fused;
  if (is_elementwise(op)) return make_elementwise;
  return find_kernel(op);
}

bool has_narrow_convolutions(const Graph& graph) {
  auto nodes = topological_order(graph);
  return std::any_of(nodes.begin(), nodes.end(), [](const Node* node) {
    bool convolves = node->is(op::conv) || node->is(op::conv_input_gradient);
    return convolves && is_narrow(node->outputs[0].dtype);
  });
}

std::string unsupported_type(const Type& type, const Capabilities& capabilities) {
  if (type.dtype > DType::boolean) return str("no op computes in ", type.dtype);
  if (type.dtype == DType::f64 && !capabilities.f64)
    return "it has no 64-bit floating numbers (f64): cast to f32";
  if (type.shape.is_static() && type.elements() > most_elements)
    return str(type, " has more than ", most_elements, " elements");
  return "";
}
}  // namespace

Support supports(const Node& node, const std::string& device, const Capabilities& capabilities) {
  if (!lookup(*node.op) && !control_flow_kernel(*node.op))
    return {false, str(device, " has no kernel for ", node.op->name)};
  std::string reason;
  for (const Tensor& input : node.inputs) {
    if (reason.empty()) reason = unsupported_type(input.type(), capabilities);
  }
  for (const Type& type : node.outputs) {
    if (reason.empty()) reason = unsupported_type(type, capabilities);
  }
  if (reason.empty()) return {};
  return {false, str(device, " does not run it in ", node.outputs[0].dtype, ": ", reason)};
}

Support QueueTarget::supports(const Node& node) const {
  return kernel::supports(node, name_, queue_.capabilities());
}

std::shared_ptr<const Artifact> QueueTarget::compile(const Graph& graph,
                                                     const CompileOptions&) const {
  auto start = std::chrono::steady_clock::now();
  LowerOptions lowering{.fuse_elementwise = true, .fold_constants = true};
  const Capabilities& device = queue_.capabilities();
  if (device.joins_behind_products || device.joins_behind_convolutions) {
    lowering.fuse_epilogues = [&](const Node& node) {
      bool joins =
          node.is(op::matmul) ? device.joins_behind_products : device.joins_behind_convolutions;
      return joins && is_floating(node.outputs[0].dtype);
    };
  }
  // What takes longer than to start a kernel gains nothing.
  lowering.join_updates = {device.most_values, int64_t{1} << 18};
  if (device.narrow_channels_last && has_narrow_convolutions(graph)) {
    lowering.channels_last = [](const Node& node) { return is_narrow(node.outputs[0].dtype); };
  }
  Graph lowered = on_device(lower(graph, *this, lowering));
  Session session(queue_);
  auto program = make_host_program(std::move(lowered), *this, lookup, queue_, &session);
  session.finish();
  program->run_state = queue_.new_run_state();
  for (StepInfo& step : program->steps) {
    if (step.kernel.find(':') == std::string::npos)
      step.kernel = str(queue_.backend(), ":", step.kernel);
  }
  program->compile_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return program;
}

// The graph with its constants in the device's memory.
Graph QueueTarget::on_device(const Graph& graph) const {
  return rewrite(
      graph,
      [&](const Node& node, const std::vector<Tensor>&) -> std::optional<std::vector<Tensor>> {
        if (!node.is(op::constant) || queue_.owns(*node.values[0])) return std::nullopt;
        const Type& type = node.outputs[0];
        std::vector<std::byte> bytes(type.bytes());
        node.values[0]->read(bytes.data(), bytes.size());
        auto storage = queue_.allocate(bytes.size());
        queue_.write(storage->data(), bytes.data(), bytes.size());
        return {{Tensor::from_storage(type, storage)}};
      });
}

DeviceInfo QueueDevice::info() const {
  const Capabilities& c = queue_.capabilities();
  return {.name = name_,
          .description = str(c.name, ", ", c.platform, " ", c.driver),
          .threads = 1,
          .memory_bytes = c.memory_bytes,
          .fast_bf16 = c.fast_bf16,
          .fast_f16 = c.fast_f16,
          .is_host_cpu = c.is_cpu};
}

void QueueDevice::run(const Artifact& artifact, std::span<const std::shared_ptr<Storage>> inputs,
                      std::span<const std::shared_ptr<Storage>> outputs,
                      const RunObserver* observer) {
  std::lock_guard lock(running_);
  queue_.measure(observer != nullptr);
  std::shared_ptr<void> not_measured(nullptr, [&](void*) { queue_.measure(false); });
  HostDevice::run(artifact, inputs, outputs, observer);
  queue_.flush();
}

std::shared_ptr<Storage> QueueDevice::reachable(const std::shared_ptr<Storage>& storage) {
  if (queue_.owns(*storage)) return storage;
  auto copy = allocate(storage->bytes());
  copy_to_device(*this, *storage, *copy, storage->bytes());
  return copy;
}

}  // namespace wafer::kernel
