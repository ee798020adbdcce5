#include "wafer/backend/cpu/cpu.h"

#include <unistd.h>

#include <mutex>
#include <unordered_map>

#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/memory.h"
#include "wafer/backend/cpu/probe.h"
#include "wafer/backend/cpu/rows.h"
#include "wafer/backend/cpu/team.h"
#include "wafer/base/threads.h"
#include "wafer/op/op.h"
#include "wafer/pass/host/host_device.h"
#include "wafer/pass/host/host_program.h"

namespace wafer::cpu {

#include "cpu_kernels.inc"  // find_kernel

namespace {
// What is left of the caches of common processors for the values between two steps.
constexpr size_t cache_of_values = size_t{16} << 20;

// The CPU's contractions take what follows them in these.
bool joins_followers(const Node& contraction) {
  DType dtype = contraction.outputs[0].dtype;
  return dtype == DType::f32 || dtype == DType::bf16;
}

class CpuTarget : public Target {
 public:
  std::string name() const override { return "cpu"; }

  Support supports(const Node& node) const override {
    if (std::string reason = why_decomposed(node); !reason.empty()) return {false, reason};
    return host_support(node, find_kernel);
  }

  std::shared_ptr<const Artifact> compile(const Graph& graph,
                                          const CompileOptions& options) const override {
    if (options.threads > 0) set_thread_count(options.threads);
    LowerOptions lowering{.channels_last = [](const Node&) { return true; },
                          .fuse_elementwise = true,
                          .fuse_epilogues = joins_followers,
                          .fold_constants = true,
                          .batch_cache_bytes = cache_of_values};
    return compile_for_host(graph, *this, lowering, find_kernel, options.lasting_inputs);
  }
};

class CpuDevice : public HostDevice, public PeakProbe {
 public:
  DeviceInfo info() const override {
    auto pages = static_cast<size_t>(std::max(sysconf(_SC_PHYS_PAGES), 0l));
    std::string text = peak_key();
#ifdef WAFER_ONEDNN
    text += ", oneDNN";
#endif
    return {.name = "cpu",
            .description = text,
            .threads = thread_count(),
            .memory_bytes = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)),
            .fast_bf16 = multiplies_bf16()};
  }
  const Target& target() const override {
    return target_;
  }

  std::string peak_key() const override {
    std::string text = str(cpu_name(), ", ", thread_count(),
                           thread_count() == 1 ? " thread, " : " threads, ", cpu::name(isa()));
    if (has_avx512_bf16()) text += ", bf16";
    if (has_amx_bf16()) text += ", amx";
    return text;
  }
  Peaks measure_peaks() override {
    return cpu::measure_peaks();
  }

  std::shared_ptr<Storage> allocate(size_t bytes) override {
    return allocate_memory(bytes);
  }

  void run(const Artifact& artifact, std::span<const std::shared_ptr<Storage>> inputs,
           std::span<const std::shared_ptr<Storage>> outputs,
           const RunObserver* observer) override {
    // One run at a time: each uses all threads, and OpenMP has a team for every calling thread.
    std::lock_guard lock(running_);
    FlushDenormalsInTeam flush;
    HostDevice::run(artifact, inputs, outputs, observer);
  }

 private:
  std::recursive_mutex running_;  // an observer may run something itself
  CpuTarget target_;
};
}  // namespace

Backend find_backend() {
  return {"cpu", {std::make_shared<CpuDevice>()}, ""};
}

}  // namespace wafer::cpu
