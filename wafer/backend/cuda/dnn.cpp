#include "wafer/backend/cuda/dnn.h"

#include "wafer/base/error.h"
#include "wafer/base/library.h"

namespace wafer::cuda {

namespace {
Dnn dnn_of(LibraryFunctions& library) {
  Dnn d{};
  library.get(d.version, "cudnnGetVersion");
  library.get(d.error_text, "cudnnGetErrorString");
  library.get(d.last_error, "cudnnGetLastErrorString");
  library.get(d.create, "cudnnCreate");
  library.get(d.destroy, "cudnnDestroy");
  library.get(d.set_stream, "cudnnSetStream");
  library.get(d.create_descriptor, "cudnnBackendCreateDescriptor");
  library.get(d.destroy_descriptor, "cudnnBackendDestroyDescriptor");
  library.get(d.set_attribute, "cudnnBackendSetAttribute");
  library.get(d.get_attribute, "cudnnBackendGetAttribute");
  library.get(d.finalize, "cudnnBackendFinalize");
  library.get(d.execute, "cudnnBackendExecute");
  return d;
}
}  // namespace

const Dnn* load_dnn(std::string& reason) {
  // It finds the libraries that it is made of beside itself.
  static const auto loaded =
      load_table<Dnn>({"libcudnn.so.9", "/usr/local/cuda/lib64/libcudnn.so.9"}, dnn_of,
                      "cuDNN is not here (libcudnn.so.9)", "cuDNN", "cuDNN 9");
  return loaded.get(reason);
}

std::string status_text(const Dnn& dnn, cudnnStatus_t status) {
  char why[1024] = {};
  dnn.last_error(why, sizeof why - 1);
  return str(dnn.error_text(status), why[0] ? ": " : "", why);
}

void check_dnn(const Dnn& dnn, cudnnStatus_t status, const std::string& what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw InternalError(str("cuDNN: ", what, ": ", status_text(dnn, status)));
}

DnnDescriptor::DnnDescriptor(const Dnn& dnn, cudnnBackendDescriptorType_t type) : dnn_(&dnn) {
  cudnnBackendDescriptor_t handle = nullptr;
  take(dnn.create_descriptor(type, &handle));
  handle_ = {handle, dnn.destroy_descriptor};
}

void DnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                        size_t count, const void* values) {
  take(dnn_->set_attribute(handle_.get(), name, type, static_cast<int64_t>(count), values));
}

std::vector<DnnDescriptor> DnnDescriptor::get(cudnnBackendAttributeName_t name,
                                              cudnnBackendDescriptorType_t type) const {
  int64_t count = 0;
  take(dnn_->get_attribute(handle_.get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
  std::vector<DnnDescriptor> result;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < count; ++i) {
    result.emplace_back(*dnn_, type);
    handles.push_back(result.back().handle());
  }
  // It fills those that are given, and may have fewer than it said.
  take(dnn_->get_attribute(handle_.get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count,
                           handles.data()));
  result.erase(result.begin() + std::min<int64_t>(count, std::ssize(result)), result.end());
  return result;
}

}  // namespace wafer::cuda
