#include "wafer/backend/opencl/opencl.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "wafer/backend/opencl/session.h"
#include "wafer/backend/opencl/support.h"
#include "wafer/kernel/program.h"
#include "wafer/op/op.h"
#include "wafer/pass/host/control_flow.h"
#include "wafer/pass/host/host_device.h"
#include "wafer/pass/host/host_program.h"

namespace wafer::opencl {

namespace {
// Kernels count elements in 32 bits.
constexpr int64_t most_elements = int64_t{1} << 30;

MakeKernel lookup(const OpDef& op) {
  if (kernel::is_elementwise(op) || &op == &op::fused) return make_elementwise;
  return find_kernel(op);
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

namespace {
class ClTarget : public Target {
 public:
  ClTarget(std::string name, ClContext& context) : name_(std::move(name)), context_(context) {}

  std::string name() const override { return name_; }

  Support supports(const Node& node) const override {
    return opencl::supports(node, name_, context_.capabilities());
  }

  std::shared_ptr<const Artifact> compile(const Graph& graph,
                                          const CompileOptions&) const override {
    auto start = std::chrono::steady_clock::now();
    Graph lowered =
        on_device(lower(graph, *this, {.fuse_elementwise = true, .fold_constants = true}));
    Session session(context_);
    auto program = make_host_program(std::move(lowered), *this, lookup, context_, &session);
    session.finish();
    program->compile_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return program;
  }

 private:
  // The graph with its constants in the device's memory.
  Graph on_device(const Graph& graph) const {
    return rewrite(
        graph,
        [&](const Node& node, const std::vector<Tensor>&) -> std::optional<std::vector<Tensor>> {
          if (!node.is(op::constant) || context_.owns(*node.values[0])) return std::nullopt;
          const Type& type = node.outputs[0];
          std::vector<std::byte> bytes(type.bytes());
          node.values[0]->read(bytes.data(), bytes.size());
          auto storage = context_.allocate(bytes.size());
          context_.write(storage->data(), bytes.data(), bytes.size());
          return {{Tensor::from_storage(type, storage)}};
        });
  }

  std::string name_;
  ClContext& context_;
};

class ClDevice : public HostDevice {
 public:
  // The context lives as long as the process: storages anywhere may belong to it.
  ClDevice(const std::string& name, ClContext& context)
      : name_(name), context_(context), target_(name, context) {}

  DeviceInfo info() const override {
    const Capabilities& c = context_.capabilities();
    return {.name = name_,
            .description = str(c.name, ", ", c.platform, " ", c.driver),
            .threads = 1,
            .memory_bytes = c.memory_bytes,
            .is_host_cpu = c.is_cpu};
  }
  const Target& target() const override { return target_; }

  std::shared_ptr<Storage> allocate(size_t bytes) override { return context_.allocate(bytes); }
  void copy_from_host(const void* from, Storage& to, size_t bytes) override {
    context_.write(to.data(), from, bytes);
  }
  void run(const Artifact& artifact, std::span<const std::shared_ptr<Storage>> inputs,
           std::span<const std::shared_ptr<Storage>> outputs,
           const RunObserver* observer) override {
    // One run is enqueued at a time: kernels hold their arguments. An observer may run something.
    std::lock_guard lock(running_);
    context_.measure(observer != nullptr);
    std::shared_ptr<void> not_measured(nullptr, [&](void*) { context_.measure(false); });
    HostDevice::run(artifact, inputs, outputs, observer);
    context_.flush();
  }
  void synchronize() override { context_.wait(); }

 protected:
  std::shared_ptr<Storage> reachable(const std::shared_ptr<Storage>& storage) override {
    if (context_.owns(*storage)) return storage;
    auto copy = allocate(storage->bytes());
    copy_to_device(*this, *storage, *copy, storage->bytes());
    return copy;
  }

 private:
  std::string name_;
  ClContext& context_;
  ClTarget target_;
  std::recursive_mutex running_;
};

struct Found {
  cl_device_id id;
  Capabilities capabilities;
};

template <class T>
T number(const Api& api, cl_device_id device, cl_device_info what) {
  T value{};
  api.get_device_info(device, what, sizeof value, &value, nullptr);
  return value;
}

std::string text(const Api& api, cl_device_id device, cl_device_info what) {
  char value[512] = {};
  api.get_device_info(device, what, sizeof value - 1, value, nullptr);
  return value;
}

Capabilities capabilities_of(const Api& api, cl_platform_id platform, cl_device_id device) {
  Capabilities c;
  c.name = text(api, device, CL_DEVICE_NAME);
  c.driver = text(api, device, CL_DRIVER_VERSION);
  char name[512] = {};
  api.get_platform_info(platform, CL_PLATFORM_NAME, sizeof name - 1, name, nullptr);
  c.platform = name;
  c.is_cpu = number<cl_device_type>(api, device, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU;
  c.f64 = number<cl_device_fp_config>(api, device, CL_DEVICE_DOUBLE_FP_CONFIG) != 0;
  c.units = static_cast<int>(number<cl_uint>(api, device, CL_DEVICE_MAX_COMPUTE_UNITS));
  c.memory_bytes = number<cl_ulong>(api, device, CL_DEVICE_GLOBAL_MEM_SIZE);
  c.largest_buffer = number<cl_ulong>(api, device, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
  return c;
}

std::vector<Found> list_devices(const Api& api) {
  std::vector<Found> found;
  cl_platform_id platforms[16];
  cl_uint platform_count = 0;
  if (api.get_platforms(16, platforms, &platform_count) != CL_SUCCESS) return found;
  for (cl_uint p = 0; p < std::min<cl_uint>(platform_count, 16); ++p) {
    cl_device_id devices[16];
    cl_uint count = 0;
    if (api.get_devices(platforms[p], CL_DEVICE_TYPE_ALL, 16, devices, &count) != CL_SUCCESS)
      continue;
    for (cl_uint d = 0; d < std::min<cl_uint>(count, 16); ++d)
      found.push_back({devices[d], capabilities_of(api, platforms[p], devices[d])});
  }
  return found;
}

// Whether a process of its own survives loading the drivers and asking for their devices.
bool drivers_survive() {
  pid_t child = ::fork();
  if (child < 0) return true;
  if (child == 0) {
    std::string reason;
    if (const Api* api = load_api(reason)) list_devices(*api);
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status);
}
}  // namespace

Backend find_backend() {
  Backend backend{"opencl", {}, ""};
  try {
    if (!drivers_survive()) {
      backend.absent_reason = "an OpenCL driver crashed when it was asked for its devices";
      return backend;
    }
    const Api* api = load_api(backend.absent_reason);
    if (!api) return backend;
    std::vector<Found> found = list_devices(*api);
    if (found.empty()) {
      backend.absent_reason =
          "no OpenCL driver lists a device; pocl-opencl-icd of Debian runs on any CPU";
    }
    for (const Found& device : found) {
      // Never destroyed, see ClDevice; the list keeps them in reach.
      static auto* contexts = new std::vector<ClContext*>();
      contexts->push_back(new ClContext(*api, device.id, device.capabilities));
      backend.devices.push_back(
          std::make_shared<ClDevice>(str("opencl:", backend.devices.size()), *contexts->back()));
    }
  } catch (const std::exception& error) {
    if (backend.devices.empty()) backend.absent_reason = error.what();
  }
  return backend;
}

}  // namespace wafer::opencl
