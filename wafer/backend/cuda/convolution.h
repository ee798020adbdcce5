#pragma once
#include <memory>
#include <string>

#include "wafer/backend/cuda/api.h"
#include "wafer/kernel/device/queue.h"

struct cudnnContext;  // what cudnnHandle_t points to

// Convolutions by cuDNN, in a header without cuDNN's. Built without that, load_dnn gives no
// functions, and the rest is not called.
namespace wafer::cuda {

class Context;

// The library on the GPU whose context is the calling thread's, stopped with its last user; null
// with the reason where it does not start.
std::shared_ptr<cudnnContext> start_dnn(const Dnn& dnn, std::string& reason);

// Null where the library knows no way to compute it that wafer would take. One thread at a time
// may use the library: the context's lock of what is enqueued is held.
std::shared_ptr<const kernel::LibraryConvolution> make_convolution(
    const Context& context, const kernel::ConvolutionProblem& problem);

}  // namespace wafer::cuda
