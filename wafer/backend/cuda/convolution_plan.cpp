#include "wafer/backend/cuda/convolution_plan.h"

#include <algorithm>
#include <array>

#include "wafer/base/error.h"

namespace wafer::cuda {

namespace {
using kernel::ConvolutionProblem;
using Computes = ConvolutionProblem::Computes;

// How an execution names the values. Those between operations have numbers from `between_id` on.
enum : int64_t { x_id = 1, weight_id, y_id, residual_id, bias_id, between_id };

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
  bool between = id >= between_id;
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, between ? CUDNN_DATA_FLOAT : dnn_type_of(problem.dtype));
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, sizes);
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, strides);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, problem.alignment);
  if (between) tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
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

// What follows a convolution, in the order in which the library's engines have it.
enum class Follower { residual, bias, relu };

std::vector<Follower> followers_of(const ConvolutionProblem& problem) {
  std::vector<Follower> all;
  if (problem.residual) all.push_back(Follower::residual);
  if (problem.bias) all.push_back(Follower::bias);
  if (problem.relu) all.push_back(Follower::relu);
  return all;
}

// One number a channel, the same at each place.
ConvolutionProblem::Value bias_of(const ConvolutionProblem& problem) {
  std::vector<int64_t> sizes(problem.y.sizes.size(), 1), strides(sizes.size(), 1);
  sizes[1] = problem.y.sizes[1];
  strides[0] = sizes[1];
  return {sizes, strides};
}

// A graph and all that it is made of.
class Description {
 public:
  Description(const Dnn& dnn, const PlanDevice& device, const ConvolutionProblem& problem)
      : dnn_(dnn), problem_(problem) {
    std::vector<Follower> followers = followers_of(problem);
    DnnDescriptor result = followers.empty() ? tensor(y_id) : tensor(between_id);
    convolve(result);
    for (size_t i = 0; i < followers.size(); ++i) {
      bool last = i + 1 == followers.size();
      DnnDescriptor next = tensor(last ? y_id : between_id + 1 + static_cast<int64_t>(i));
      follow(followers[i], result, next);
      result = next;
    }
    DnnDescriptor graph(dnn, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (device.handle) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, device.handle);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_);
    graph.finalize();
    parts_.insert(parts_.end(), operations_.begin(), operations_.end());
    parts_.push_back(graph);
  }

  const DnnDescriptor& graph() const { return parts_.back(); }
  std::vector<DnnDescriptor> take_parts() { return std::move(parts_); }

 private:
  DnnDescriptor tensor(int64_t id) {
    parts_.push_back(describe_tensor(dnn_, id, problem_,
                                     id == x_id        ? problem_.x
                                     : id == weight_id ? problem_.weight
                                     : id == bias_id   ? bias_of(problem_)
                                                       : problem_.y));
    return parts_.back();
  }

  void convolve(const DnnDescriptor& y) {
    OperationNames names = names_of(problem_.computes);
    parts_.push_back(describe_windows(dnn_, problem_));
    DnnDescriptor windows = parts_.back(), operation(dnn_, names.operation);
    operation.set(names.x, tensor(x_id));
    operation.set(names.weight, tensor(weight_id));
    operation.set(names.y, y);
    operation.set(names.windows, windows);
    operation.set(names.factor, 1.0f);
    operation.set(names.kept, 0.0f);
    operation.finalize();
    operations_.push_back(operation);
  }

  void follow(Follower follower, const DnnDescriptor& from, const DnnDescriptor& to) {
    bool relu = follower == Follower::relu;
    DnnDescriptor each(dnn_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    each.set(CUDNN_ATTR_POINTWISE_MODE, relu ? CUDNN_POINTWISE_RELU_FWD : CUDNN_POINTWISE_ADD);
    each.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    if (relu) {
      // By NaN a model that diverged is noticed.
      each.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN);
    }
    each.finalize();
    parts_.push_back(each);
    DnnDescriptor operation(dnn_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, each);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from);
    if (!relu) {
      operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                    tensor(follower == Follower::bias ? bias_id : residual_id));
    }
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    operation.finalize();
    operations_.push_back(operation);
  }

  const Dnn& dnn_;
  const ConvolutionProblem& problem_;
  std::vector<DnnDescriptor> parts_, operations_;
};

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
    Description description(dnn, device, problem);
    reason = "it knows no engine";
    for (auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
      for (const DnnDescriptor& way : ways(dnn, device, description.graph(), mode, reason)) {
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
          result.described_ = description.take_parts();
          result.described_.push_back(way);
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

void ConvolutionPlan::execute(cudnnHandle_t handle, const kernel::ConvolutionAddresses& at,
                              void* workspace, const std::string& what) const {
  std::vector<int64_t> ids = {x_id, weight_id, y_id};
  std::vector<const void*> addresses = {at.x, at.weight, at.y};
  auto add = [&](int64_t id, const void* address) {
    if (!address) return;
    ids.push_back(id);
    addresses.push_back(address);
  };
  add(residual_id, at.residual);
  add(bias_id, at.bias);
  try {
    DnnDescriptor values(*dnn_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    values.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids);
    values.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses);
    values.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, static_cast<const void*>(workspace));
    values.finalize();
    check_dnn(*dnn_, dnn_->execute(handle, plan_.handle(), values.handle()), what);
  } catch (const DnnRefusal& refusal) {
    throw InternalError(str("cuDNN: ", what, ": ", refusal.why));
  }
}

}  // namespace wafer::cuda
