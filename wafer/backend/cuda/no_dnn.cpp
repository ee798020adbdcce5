#include "wafer/backend/cuda/convolution.h"

// In place of dnn.cpp and convolution.cpp where cuDNN's headers are missing.
namespace wafer::cuda {

const Dnn* load_dnn(std::string& reason) {
  reason = "the plug-in was built without cuDNN's headers";
  return nullptr;
}

std::shared_ptr<cudnnContext> start_dnn(const Dnn&, std::string& reason) {
  load_dnn(reason);
  return nullptr;
}

std::shared_ptr<const kernel::LibraryConvolution> make_convolution(
    const Context&, const kernel::ConvolutionProblem&) {
  return nullptr;
}

}  // namespace wafer::cuda
