#include "wafer/backend/cuda/convolution_plan.h"

#include <algorithm>
#include <array>

#include "wafer/base/error.h"

namespace wafer::cuda {

namespace {
using kernel::ConvolutionProblem;
using Computes = ConvolutionProblem::Computes;

enum : int64_t { x_id = 1, weight_id, y_id };  // how an execution names the values

cudnnDataType_t dnn_type_of(DType dtype) {
  return dtype == DType::f16    ? CUDNN_DATA_HALF
         : dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16
                                : CUDNN_DATA_FLOAT;
}

// cuDNN's convolutions have at least two spatial dimensions: one is the rows of an image of
// height 1.
ConvolutionProblem::Value as_image(ConvolutionProblem::Value value) {
  if (value.sizes.size() != 3) return value;
  value.strides.insert(value.strides.begin() + 2, value.sizes[2] * value.strides[2]);
  value.sizes.insert(value.sizes.begin() + 2, 1);
  return value;
}
std::vector<int64_t> as_image(std::vector<int64_t> numbers, int64_t of_height) {
  if (numbers.size() == 1) numbers.insert(numbers.begin(), of_height);
  return numbers;
}

DnnDescriptor describe_tensor(const Dnn& dnn, int64_t id, const ConvolutionProblem& problem,
                              const ConvolutionProblem::Value& value) {
  auto [sizes, strides] = as_image(value);
  DnnDescriptor tensor(dnn, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, dnn_type_of(problem.dtype));
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, sizes);
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, strides);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, problem.alignment);
  tensor.finalize();
  return tensor;
}

DnnDescriptor describe_windows(const Dnn& dnn, const ConvolutionProblem& problem) {
  DnnDescriptor windows(dnn, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  std::vector<int64_t> stride = as_image(problem.stride, 1);
  windows.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, static_cast<int64_t>(stride.size()));
  windows.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  windows.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  windows.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride);
  windows.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, as_image(problem.padding_low, 0));
  windows.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, as_image(problem.padding_high, 0));
  windows.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, as_image(problem.dilation, 1));
  windows.finalize();
  return windows;
}

// The names of an operation and of what it is described by.
struct OperationNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t windows, x, weight, y, factor, kept;
};

OperationNames names_of(Computes computes) {
  if (computes == Computes::y)
    return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  if (computes == Computes::x)
    return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

// A graph of one operation, after all that it is made of.
std::vector<DnnDescriptor> describe_graph(const Dnn& dnn, const PlanDevice& device,
                                          const ConvolutionProblem& problem) {
  OperationNames names = names_of(problem.computes);
  std::vector<DnnDescriptor> all = {describe_tensor(dnn, x_id, problem, problem.x),
                                    describe_tensor(dnn, weight_id, problem, problem.weight),
                                    describe_tensor(dnn, y_id, problem, problem.y),
                                    describe_windows(dnn, problem)};
  DnnDescriptor operation(dnn, names.operation);
  operation.set(names.x, all[0]);
  operation.set(names.weight, all[1]);
  operation.set(names.y, all[2]);
  operation.set(names.windows, all[3]);
  operation.set(names.factor, 1.0f);
  operation.set(names.kept, 0.0f);
  operation.finalize();
  DnnDescriptor graph(dnn, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (device.handle) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, device.handle);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  graph.finalize();
  all.push_back(operation);
  all.push_back(graph);
  return all;
}

// What the heuristics name for a graph, the fastest first; none where they refuse it.
std::vector<DnnDescriptor> ways(const Dnn& dnn, const PlanDevice& device,
                                const DnnDescriptor& graph, cudnnBackendHeurMode_t mode,
                                std::string& reason) {
  try {
    DnnDescriptor heuristics(dnn, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
    if (device.described) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device.described);
    heuristics.finalize();
    return heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  } catch (const DnnRefusal& refusal) {
    reason = refusal.why;
    return {};
  }
}

std::vector<cudnnBackendNumericalNote_t> notes_of(const DnnDescriptor& way) {
  constexpr size_t most = 64;  // a later library may know more of them than its header here
  auto engine = way.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  if (engine.empty()) throw DnnRefusal{"a way without an engine"};
  return engine[0].get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, most);
}

bool takes(const std::vector<cudnnBackendNumericalNote_t>& notes, DType dtype) {
  return std::all_of(notes.begin(), notes.end(), [&](cudnnBackendNumericalNote_t note) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS: return false;
      // In f32 these are TF32's, which say nothing of their inputs.
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE: return dtype != DType::f32;
      // They transform inputs and weights before they multiply: narrow, these would be rounded.
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      case CUDNN_NUMERICAL_NOTE_FFT: return dtype == DType::f32;
      default: return true;
    }
  });
}
}  // namespace

// Tensor cores read channels last. Engines copy values that lie otherwise into the workspace, which
// therefore grows with these.
size_t ConvolutionPlan::most_workspace(const ConvolutionProblem& problem) {
  size_t bytes = 0;
  for (const auto* value : {&problem.x, &problem.weight, &problem.y}) {
    int64_t elements = 1;
    for (int64_t size : value->sizes) elements *= size;
    bytes += byte_size(problem.dtype, elements);
  }
  return std::max(size_t{64} << 20, 2 * bytes);
}

std::optional<ConvolutionPlan> ConvolutionPlan::choose(const Dnn& dnn, const PlanDevice& device,
                                                       const ConvolutionProblem& problem,
                                                       std::string& reason) {
  size_t most = most_workspace(problem);
  try {
    std::vector<DnnDescriptor> described = describe_graph(dnn, device, problem);
    reason = "it knows no engine";
    for (auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
      for (const DnnDescriptor& way : ways(dnn, device, described.back(), mode, reason)) {
        try {
          auto notes = notes_of(way);
          if (!takes(notes, problem.dtype)) {
            reason = "its engines are not exact or not deterministic";
            continue;
          }
          DnnDescriptor plan(dnn, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
          plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, way);
          if (device.handle) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, device.handle);
          if (device.described) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device.described);
          plan.finalize();
          auto bytes = plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1);
          if (bytes.empty() || static_cast<size_t>(bytes[0]) > most) {
            reason = "its engines need too large a workspace";
            continue;
          }
          ConvolutionPlan result(dnn, plan);
          described.push_back(way);
          result.described_ = std::move(described);
          result.notes_ = std::move(notes);
          result.workspace_bytes_ = static_cast<size_t>(bytes[0]);
          return result;
        } catch (const DnnRefusal& refusal) {
          reason = refusal.why;
        }
      }
    }
  } catch (const DnnRefusal& refusal) {
    reason = refusal.why;
  }
  return std::nullopt;
}

void ConvolutionPlan::execute(cudnnHandle_t handle, const void* x, const void* weight,
                              const void* y, void* workspace, const std::string& what) const {
  try {
    DnnDescriptor values(*dnn_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    values.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::vector<int64_t>{x_id, weight_id, y_id});
    values.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::vector<const void*>{x, weight, y});
    values.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, static_cast<const void*>(workspace));
    values.finalize();
    check_dnn(*dnn_, dnn_->execute(handle, plan_.handle(), values.handle()), what);
  } catch (const DnnRefusal& refusal) {
    throw InternalError(str("cuDNN: ", what, ": ", refusal.why));
  }
}

}  // namespace wafer::cuda
