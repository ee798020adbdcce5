#pragma once
#include <optional>
#include <string>
#include <vector>

#include "wafer/backend/cuda/dnn.h"
#include "wafer/kernel/device/queue.h"

namespace wafer::cuda {

// What a plan is made for: the GPU of a handle, or one of which only a description is here.
struct PlanDevice {
  cudnnHandle_t handle = nullptr;
  const DnnDescriptor* described = nullptr;
};

// How cuDNN computes a convolution: the first way that its heuristics name and that gives the same
// bits in each run, in f32 without TF32 (which keeps 10 bits of the 23), in f16 and bf16 with sums
// in f32.
class ConvolutionPlan {
 public:
  // Nothing where there is none, with the reason.
  static std::optional<ConvolutionPlan> choose(const Dnn& dnn, const PlanDevice& device,
                                               const kernel::ConvolutionProblem& problem,
                                               std::string& reason);
  // The most that a plan may ask for.
  static size_t most_workspace(const kernel::ConvolutionProblem& problem);

  size_t workspace_bytes() const { return workspace_bytes_; }
  const std::vector<cudnnBackendNumericalNote_t>& notes() const { return notes_; }
  // On the handle's stream; `what` names the node in errors.
  void execute(cudnnHandle_t handle, const kernel::ConvolutionAddresses& at, void* workspace,
               const std::string& what) const;

 private:
  ConvolutionPlan(const Dnn& dnn, DnnDescriptor plan) : dnn_(&dnn), plan_(std::move(plan)) {}

  const Dnn* dnn_;
  DnnDescriptor plan_;
  std::vector<DnnDescriptor> described_;  // what the plan was made of
  std::vector<cudnnBackendNumericalNote_t> notes_;
  size_t workspace_bytes_ = 0;
};

}  // namespace wafer::cuda
