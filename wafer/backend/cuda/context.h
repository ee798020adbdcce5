#pragma once
#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "wafer/backend/cuda/convolution.h"
#include "wafer/backend/cuda/memory.h"
#include "wafer/kernel/device/queue.h"

namespace wafer::cuda {

// Thrown inside of a capture by what a captured run cannot do: look at a value.
struct NotCapturable {};

class Context;

// A compiled source in the driver.
class CudaModule : public kernel::CompiledSource {
 public:
  CudaModule(const Context& context, CUmodule handle) : context_(context), handle_(handle) {}
  ~CudaModule() override;
  CudaModule(const CudaModule&) = delete;
  CudaModule& operator=(const CudaModule&) = delete;
  CUmodule handle() const { return handle_; }

 private:
  const Context& context_;
  CUmodule handle_;
};

class CudaKernel : public kernel::CompiledKernel {
 public:
  CudaKernel(std::shared_ptr<const CudaModule> module, CUfunction handle)
      : module_(std::move(module)), handle_(handle) {}
  CUfunction handle() const { return handle_; }

 private:
  std::shared_ptr<const CudaModule> module_;
  CUfunction handle_;
};

struct ContextOptions {
  bool chunked = true;  // see MemoryPool
  bool check = false;   // wait after each piece of work, so that errors name the node; no graphs
};

// A GPU's primary context with two streams: `compute`, which does everything in order, and
// `copies`, on which the host's data goes up from pinned memory while earlier work runs; the
// compute stream waits for it. Work is numbered, so that memory's last use is known.
class Context : public kernel::Queue {
 public:
  // `blas` may be null: then products are our own kernels; and so may `dnn`: then convolutions are
  // products.
  Context(const Driver& driver, const Compiler& compiler, const Blas* blas, const Dnn* dnn,
          CUdevice device, ContextOptions options);
  // Storages, kernels and graphs are gone before.
  ~Context() override;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const kernel::Capabilities& capabilities() const override { return capabilities_; }
  const kernel::Dialect& dialect() const override { return kernel::cuda_c; }
  std::string backend() const override { return "cuda"; }
  std::shared_ptr<void> new_run_state() override;

  std::shared_ptr<Storage> allocate(size_t bytes) override;
  bool owns(const Storage& storage) const override;
  void copy(void* to, const void* from, size_t bytes) const override;
  void read(void* to, const void* from, size_t bytes) const override;
  std::optional<double> finish_step() const override;
  void write(void* to, const void* from, size_t bytes) const override;
  void fill(void* to, const void* pattern, size_t pattern_bytes, size_t bytes) const override;
  void wait() const override;
  void flush() const override;
  void measure(bool on) override;
  std::shared_ptr<const kernel::CompiledSource> compile(const std::string& source,
                                                        bool keep) const override;
  std::shared_ptr<const kernel::CompiledKernel> kernel(
      const std::shared_ptr<const kernel::CompiledSource>& source,
      const std::string& name) const override;
  // The kernel's arguments are the addresses, then that of `parameters`.
  void launch(const kernel::CompiledKernel& kernel, std::span<const void* const> addresses,
              const Storage* parameters, int64_t items, int64_t grain,
              const std::string& what) const override;

  std::shared_ptr<const kernel::LibraryProduct> library_product(
      const kernel::ProductProblem& problem) const override;
  std::shared_ptr<const kernel::LibraryConvolution> library_convolution(
      const kernel::ConvolutionProblem& problem) const override;

  const Driver& driver() const { return driver_; }
  const Blas* blas() const { return blas_; }
  const Dnn* dnn() const { return dnn_; }
  cublasLtHandle_t blas_handle() const { return blas_handle_; }
  cudnnContext* dnn_handle() const { return dnn_handle_.get(); }
  // InternalError with `what` was being done, unless the call succeeded.
  void check_blas(cublasStatus_t status, const std::string& what) const;
  // Memory that libraries work in, one call at a time.
  static constexpr size_t workspace_bytes = size_t{32} << 20;
  // Calls a library that puts work on the compute stream, which may use the workspace.
  void enqueue(const std::string& what,
               const std::function<void(CUstream stream, void* workspace)>& call) const;
  const ContextOptions& options() const { return options_; }
  // What `enqueue` puts on the compute stream, as a graph that can be launched again, or null where
  // it threw NotCapturable. Nothing runs. Other threads' work waits meanwhile.
  CUgraphExec capture(const std::function<void()>& enqueue) const;
  void launch_graph(CUgraphExec graph, const std::string& what) const;
  // Makes the context the calling thread's.
  void enter() const;
  // The same where something is given back, and nothing can be done about errors.
  void enter_to_release() const { driver_.set_context(context_); }
  // Waits for what may use a thing that is about to go, without looking at errors.
  void wait_to_release() const;
  // Gives free memory back to the driver.
  void trim() const;

 private:
  friend class CudaStorage;
  struct Slot {  // of pinned memory
    void* memory = nullptr;
    CUevent done = nullptr;
    bool used = false;
  };
  void worked(const std::string& what) const;
  void copies_wait_for(uint64_t work) const;
  CUevent make_event(unsigned flags) const;
  void not_in_capture() const {
    if (capturing_) throw NotCapturable();
  }

  const Driver& driver_;
  const Compiler& compiler_;
  const Blas* blas_;
  const Dnn* dnn_;
  CUdevice device_;
  ContextOptions options_;
  kernel::Capabilities capabilities_;
  Architecture architecture_;
  CUcontext context_ = nullptr;
  CUstream compute_ = nullptr, copies_ = nullptr;
  std::unique_ptr<MemoryPool> pool_;
  CUdeviceptr any_ = 0;
  // Made when a product is first asked for.
  mutable std::mutex blas_mutex_;
  mutable cublasLtHandle_t blas_handle_ = nullptr;
  mutable bool blas_failed_ = false;
  mutable CUdeviceptr workspace_ = 0;
  // Made when a convolution is first asked for, under the lock of what is enqueued.
  mutable std::shared_ptr<cudnnContext> dnn_handle_;
  mutable std::map<kernel::ConvolutionProblem, std::weak_ptr<const kernel::LibraryConvolution>>
      convolutions_;
  mutable std::set<kernel::ConvolutionProblem> refused_;
  mutable bool dnn_failed_ = false;

  // Held while something is enqueued, and by a capture from its beginning to its end.
  mutable std::recursive_mutex enqueue_;
  mutable bool capturing_ = false;
  mutable std::atomic<uint64_t> work_ = 1;
  mutable std::string last_work_;
  mutable uint64_t waited_ = 1;  // the last work when the device was last waited for
  mutable std::array<Slot, 2> slots_;
  mutable size_t next_slot_ = 0;
  // Events on the compute stream, and the work that they come after; oldest first.
  struct Mark {
    uint64_t work;
    CUevent event;
  };
  mutable std::deque<Mark> marks_;
  mutable uint64_t copies_waited_for_ = 0;

  bool measured_ = false;
  CUevent step_begin_ = nullptr, step_end_ = nullptr;
  mutable bool step_begun_ = false;

  mutable std::mutex modules_mutex_;
  mutable std::unordered_map<std::string, std::weak_ptr<CudaModule>> modules_;
  mutable std::vector<std::shared_ptr<CudaModule>> kept_;
};

}  // namespace wafer::cuda
