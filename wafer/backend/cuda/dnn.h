#pragma once
#include <cudnn_graph.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "wafer/backend/cuda/api.h"

namespace wafer::cuda {

// The functions of cuDNN's graph API.
struct Dnn {
  decltype(&::cudnnGetVersion) version;
  decltype(&::cudnnGetErrorString) error_text;
  decltype(&::cudnnGetLastErrorString) last_error;
  decltype(&::cudnnCreate) create;
  decltype(&::cudnnDestroy) destroy;
  decltype(&::cudnnSetStream) set_stream;
  decltype(&::cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&::cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&::cudnnBackendSetAttribute) set_attribute;
  decltype(&::cudnnBackendGetAttribute) get_attribute;
  decltype(&::cudnnBackendFinalize) finalize;
  decltype(&::cudnnBackendExecute) execute;
};

// "CUDNN_STATUS_NOT_SUPPORTED: the condition that was not met", of the last call.
std::string status_text(const Dnn& dnn, cudnnStatus_t status);
// InternalError with `what` was being done, unless the call succeeded.
void check_dnn(const Dnn& dnn, cudnnStatus_t status, const std::string& what);

// Thrown where the library does not take what it is told.
struct DnnRefusal {
  std::string why;
};

// How the library calls the type of an attribute's elements.
template <class T>
inline constexpr auto attribute_type = nullptr;  // of no other type
template <>
inline constexpr auto attribute_type<int64_t> = CUDNN_TYPE_INT64;
template <>
inline constexpr auto attribute_type<float> = CUDNN_TYPE_FLOAT;
template <>
inline constexpr auto attribute_type<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr auto attribute_type<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr auto attribute_type<const void*> = CUDNN_TYPE_VOID_PTR;
template <>
inline constexpr auto attribute_type<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
inline constexpr auto attribute_type<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr auto attribute_type<cudnnConvolutionMode_t> = CUDNN_TYPE_CONVOLUTION_MODE;
template <>
inline constexpr auto attribute_type<cudnnPointwiseMode_t> = CUDNN_TYPE_POINTWISE_MODE;
template <>
inline constexpr auto attribute_type<cudnnNanPropagation_t> = CUDNN_TYPE_NAN_PROPOGATION;
template <>
inline constexpr auto attribute_type<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr auto attribute_type<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;

// A description of the library: attributes are set, then it is finalized. Destroyed with its last
// user.
class DnnDescriptor {
 public:
  DnnDescriptor(const Dnn& dnn, cudnnBackendDescriptorType_t type);

  template <class T>
  void set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
    set(name, attribute_type<T>, values.size(), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, T value) {
    set(name, attribute_type<T>, 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, const DnnDescriptor& descriptor) {
    cudnnBackendDescriptor_t handle = descriptor.handle();
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
  }
  void set(cudnnBackendAttributeName_t name, const std::vector<DnnDescriptor>& descriptors) {
    std::vector<cudnnBackendDescriptor_t> handles;
    for (const DnnDescriptor& each : descriptors) handles.push_back(each.handle());
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, handles.size(), handles.data());
  }
  void finalize() { take(dnn_->finalize(handle_.get())); }

  // At most `most` elements.
  template <class T>
  std::vector<T> get(cudnnBackendAttributeName_t name, size_t most) const {
    std::vector<T> values(most);
    int64_t count = 0;
    take(dnn_->get_attribute(handle_.get(), name, attribute_type<T>, static_cast<int64_t>(most),
                             &count, values.data()));
    values.resize(std::min(most, static_cast<size_t>(count)));
    return values;
  }
  // The same for descriptions of this type.
  std::vector<DnnDescriptor> get(cudnnBackendAttributeName_t name,
                                 cudnnBackendDescriptorType_t type) const;

  cudnnBackendDescriptor_t handle() const { return handle_.get(); }

 private:
  void take(cudnnStatus_t status) const {
    if (status != CUDNN_STATUS_SUCCESS) throw DnnRefusal{status_text(*dnn_, status)};
  }
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, size_t count,
           const void* values);

  const Dnn* dnn_;
  std::shared_ptr<void> handle_;
};

}  // namespace wafer::cuda
