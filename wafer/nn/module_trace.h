#pragma once
#include <functional>
#include <vector>

#include "wafer/nn/module.h"

namespace wafer::nn {

// A module's call as a pure function: what goes in and what comes out, in the order of
// named_parameters() and named_buffers().
struct ModuleTrace {
  std::vector<Tensor> parameters, buffers;  // placeholders that stood in for the slots' values
  // The buffers after the call; the placeholder itself where nothing was assigned.
  std::vector<Tensor> new_buffers;
  std::vector<Tensor> outputs;
};

// Runs `function` with every parameter and buffer of the module replaced by a placeholder of its
// name. The slots have their values again afterwards, also when the function throws.
ModuleTrace trace_module(Module& module, const std::function<std::vector<Tensor>()>& function);

}  // namespace wafer::nn
