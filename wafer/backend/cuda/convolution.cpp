#include "wafer/backend/cuda/convolution.h"

#include <atomic>

#include "wafer/backend/cuda/context.h"
#include "wafer/backend/cuda/convolution_plan.h"
#include "wafer/base/log.h"

namespace wafer::cuda {

namespace {
// Where cudaMalloc's memory begins; cuDNN does not say what its workspace needs.
constexpr size_t workspace_alignment = 256;
constexpr size_t program_alignment = 64;

class DnnConvolution : public kernel::LibraryConvolution {
 public:
  DnnConvolution(const Context& context, ConvolutionPlan plan)
      : context_(context), plan_(std::move(plan)) {}
  // Kernels that the library compiled for it go with the plan.
  ~DnnConvolution() override { context_.wait_to_release(); }
  DnnConvolution(const DnnConvolution&) = delete;
  DnnConvolution& operator=(const DnnConvolution&) = delete;

  void launch(const kernel::ConvolutionAddresses& at, void* workspace,
              const std::string& what) const override {
    context_.enqueue(what, [&](CUstream stream, void*) {
      const Dnn& dnn = *context_.dnn();
      check_dnn(dnn, dnn.set_stream(context_.dnn_handle(), stream), what);
      auto start = reinterpret_cast<uintptr_t>(workspace);
      start = (start + workspace_alignment - 1) / workspace_alignment * workspace_alignment;
      plan_.execute(context_.dnn_handle(), at,
                    plan_.workspace_bytes() > 0 ? reinterpret_cast<void*>(start) : nullptr, what);
    });
  }
  size_t workspace_bytes() const override {
    size_t bytes = plan_.workspace_bytes();
    return bytes > 0 ? bytes + workspace_alignment - program_alignment : 0;
  }
  std::string name() const override { return "cudnn"; }

 private:
  const Context& context_;
  ConvolutionPlan plan_;
};
}  // namespace

std::shared_ptr<cudnnContext> start_dnn(const Dnn& dnn, std::string& reason) {
  cudnnHandle_t handle = nullptr;
  cudnnStatus_t status = dnn.create(&handle);
  if (status == CUDNN_STATUS_SUCCESS) return {handle, dnn.destroy};
  reason = status_text(dnn, status);
  return nullptr;
}

std::shared_ptr<const kernel::LibraryConvolution> make_convolution(
    const Context& context, const kernel::ConvolutionProblem& problem) {
  std::string reason;
  auto plan =
      ConvolutionPlan::choose(*context.dnn(), {.handle = context.dnn_handle()}, problem, reason);
  if (plan) return std::make_shared<DnnConvolution>(context, std::move(*plan));
  if (problem.bias) {
    log(LogLevel::info, "cuda: what follows a convolution is not cuDNN's: " + reason);
    return nullptr;
  }
  // Once aloud: a library that takes none would else be slow without a word.
  static std::atomic<bool> said = false;
  log(said.exchange(true) ? LogLevel::info : LogLevel::warn,
      "cuda: cuDNN does not compute a convolution, which is a product instead: " + reason);
  return nullptr;
}

}  // namespace wafer::cuda
