#include <gtest/gtest.h>

#include <algorithm>

#include "wafer/backend/cuda/convolution_plan.h"
#include "wafer/base/error.h"

// cuDNN itself, as far as it works without a GPU: from version 9.8 on it also makes plans for a GPU
// of which it is only told.
namespace wafer {
namespace {
using kernel::ConvolutionProblem;
using Computes = ConvolutionProblem::Computes;

const cuda::Dnn* library(std::string& reason) {
  return cuda::load_dnn(reason);
}

// An H100, in the words in which the library writes a GPU down.
constexpr const char* described_gpu = R"({"deviceName": "H100", "deviceVer": 900,
"driverVer": 13000, "cudaDeviceId": 0, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
"multiProcessorCount": 132, "warpSize": 32, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048,
"maxCtasPerSM": 32, "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
"regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152,
"maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024,
"totalGlobalMem": 85000000000, "l2CacheSize": 52428800, "smClockRateKHz": 1980000,
"memClockRateKHz": 2619000})";

cuda::DnnDescriptor describe_gpu(const cuda::Dnn& dnn) {
  cuda::DnnDescriptor gpu(dnn, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  std::string text = described_gpu;
  gpu.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::vector<char>(text.begin(), text.end()));
  gpu.finalize();
  return gpu;
}

struct Layers {
  const char* name;
  std::vector<int64_t> x, weight;
  std::vector<int64_t> stride, low, high, dilation;
  int64_t groups = 1;
  bool on_tensor_cores = false;  // in f16 and bf16: large enough for the heuristics
};

ConvolutionProblem::Value lies(const std::vector<int64_t>& sizes, bool channels_last) {
  ConvolutionProblem::Value value{sizes, sizes};
  int64_t distance = channels_last ? sizes[1] : 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    if (channels_last && d == 1) {
      value.strides[d] = 1;
      continue;
    }
    value.strides[d] = distance;
    distance *= sizes[d];
  }
  return value;
}

ConvolutionProblem problem_of(const Layers& l, Computes computes, DType dtype, bool channels_last) {
  std::vector<int64_t> y = {l.x[0], l.weight[0]};
  for (size_t d = 0; d + 2 < l.x.size(); ++d) {
    int64_t window = l.dilation[d] * (l.weight[d + 2] - 1) + 1;
    y.push_back((l.x[d + 2] + l.low[d] + l.high[d] - window) / l.stride[d] + 1);
  }
  return {.computes = computes,
          .dtype = dtype,
          .x = lies(l.x, channels_last),
          .weight = lies(l.weight, channels_last),
          .y = lies(y, channels_last),
          .stride = l.stride,
          .padding_low = l.low,
          .padding_high = l.high,
          .dilation = l.dilation,
          .groups = l.groups};
}

TEST(CudaDnn, TheLibraryTakesOurDescriptions) {
  std::string reason;
  const cuda::Dnn* dnn = library(reason);
  if (!dnn) GTEST_SKIP() << reason;
  EXPECT_GE(dnn->version(), 90000u);
  EXPECT_LT(dnn->version(), 100000u);
  cuda::DnnDescriptor tensor(*dnn, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  std::string refused;
  try {
    tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1.0f);
  } catch (const cuda::DnnRefusal& refusal) {
    refused = refusal.why;
  }
  EXPECT_NE(refused, "");
}

// Plans for the GPU that is described.
class CudaDnnPlans : public ::testing::Test {
 protected:
  void SetUp() override {
    dnn_ = library(reason_);
    if (!dnn_) GTEST_SKIP() << reason_;
    try {
      gpu_ = describe_gpu(*dnn_);
    } catch (const cuda::DnnRefusal& refusal) {
      GTEST_SKIP() << "this cuDNN takes no description of a GPU: " << refusal.why;
    }
  }
  std::optional<cuda::ConvolutionPlan> plan(const ConvolutionProblem& problem) {
    auto plan = cuda::ConvolutionPlan::choose(*dnn_, {.described = &*gpu_}, problem, reason_);
    EXPECT_TRUE(plan) << reason_;
    return plan;
  }

 private:
  const cuda::Dnn* dnn_ = nullptr;
  std::optional<cuda::DnnDescriptor> gpu_;
  std::string reason_;
};

const std::vector<Layers>& all_layers() {
  static const std::vector<Layers> layers = {
      {"1d", {8, 16, 100}, {32, 16, 5}, {2}, {2}, {2}, {1}},
      {"2d", {16, 64, 28, 28}, {64, 64, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1, true},
      {"2d of three channels", {16, 3, 32, 32}, {32, 3, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"2d strided", {16, 64, 28, 28}, {128, 64, 3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, 1, true},
      {"2d pointwise", {16, 64, 28, 28}, {256, 64, 1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}, 1, true},
      {"2d dilated", {4, 32, 28, 28}, {32, 32, 3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}, 1, true},
      {"2d padded on one side", {1, 2, 5, 5}, {2, 2, 2, 2}, {1, 1}, {0, 0}, {1, 1}, {1, 1}},
      {"2d, stride leaves a rest", {1, 1, 6, 6}, {1, 1, 2, 2}, {4, 4}, {0, 0}, {0, 0}, {1, 1}},
      {"2d, kernel of the input's size",
       {2, 3, 4, 4},
       {5, 3, 4, 4},
       {1, 1},
       {0, 0},
       {0, 0},
       {1, 1}},
      {"2d in groups", {8, 64, 14, 14}, {64, 16, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 4},
      {"2d depthwise", {8, 64, 14, 14}, {64, 1, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 64},
      {"3d", {2, 16, 8, 14, 14}, {16, 16, 3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}};
  return layers;
}

bool on_tensor_cores(const cuda::ConvolutionPlan& plan) {
  const auto& notes = plan.notes();
  return std::count(notes.begin(), notes.end(), CUDNN_NUMERICAL_NOTE_TENSOR_CORE) > 0;
}

TEST_F(CudaDnnPlans, ConvolutionsAndTheirGradients) {
  for (const Layers& each : all_layers()) {
    for (Computes computes : {Computes::y, Computes::x, Computes::weight}) {
      for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
        for (bool channels_last : {false, true}) {
          SCOPED_TRACE(str(each.name, " in ", dtype, channels_last ? ", channels last" : "",
                           computes == Computes::y   ? ""
                           : computes == Computes::x ? ", by the input"
                                                     : ", by the weight"));
          ConvolutionProblem problem = problem_of(each, computes, dtype, channels_last);
          auto found = plan(problem);
          if (!found) continue;
          EXPECT_LE(found->workspace_bytes(), cuda::ConvolutionPlan::most_workspace(problem));
          const auto& notes = found->notes();
          if (dtype == DType::f32 || each.on_tensor_cores) {
            EXPECT_EQ(on_tensor_cores(*found), dtype != DType::f32);
          }
          EXPECT_EQ(std::count(notes.begin(), notes.end(), CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC),
                    0);
        }
      }
    }
  }
}

// With a bias, a residual before it and ReLU behind it, as values lie in programs: the wide ones
// row by row, the narrow ones channels last, weights row by row.
TEST_F(CudaDnnPlans, WhatFollowsAConvolution) {
  for (const Layers& each : all_layers()) {
    for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (unsigned parts = 0; parts < 4; ++parts) {
        ConvolutionProblem problem = problem_of(each, Computes::y, dtype, dtype != DType::f32);
        problem.weight = lies(each.weight, false);
        auto alone = plan(problem);
        problem.bias = true;
        problem.residual = (parts & 1) != 0;
        problem.relu = (parts & 2) != 0;
        SCOPED_TRACE(str(each.name, " in ", dtype, ", bias", problem.residual ? ", residual" : "",
                         problem.relu ? ", ReLU" : ""));
        auto together = plan(problem);
        if (!together || !alone) continue;
        EXPECT_EQ(on_tensor_cores(*together), on_tensor_cores(*alone));
      }
    }
  }
}

}  // namespace
}  // namespace wafer
