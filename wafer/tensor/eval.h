#pragma once
#include <memory>
#include <vector>

#include "wafer/ir/tensor.h"
#include "wafer/runtime/device.h"

namespace wafer {

// Computes the values together, in one compiled graph, and keeps their memory with them. On the
// device given, else the default one. An error when one of them depends on a traced input.
void evaluate(const std::vector<Tensor>& values, std::shared_ptr<Device> device = nullptr);

}  // namespace wafer
