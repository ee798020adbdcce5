#pragma once
#include <memory>
#include <optional>

#include "wafer/kernel/device/session.h"

namespace wafer::kernel {

// A convolution or one of its gradients in the words of a library, for values as they lie; nothing
// for dtypes that none computes in, and where a value is empty.
std::optional<ConvolutionProblem> convolution_problem(const Node& node);

// How the vendor's library computes it, or null. The workspace is the first part of the step's
// scratch memory.
std::shared_ptr<const LibraryConvolution> find_library_convolution(
    KernelContext& context, const ConvolutionProblem& problem);

}  // namespace wafer::kernel
