#pragma once
#include <vector>

#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/onednn/call.h"

namespace wafer::cpu::onednn {

// Attributes that do the epilogue's residual and ReLU after each element. Never two element-wise
// operations of one kind: oneDNN before 3 computed those wrongly.
dnnl::primitive_attr with_epilogue(const Epilogue& epilogue, const dnnl::memory::desc& result);
// Appends the arguments that it reads.
void add_epilogue(const Epilogue& epilogue, const dnnl::memory::desc& bias,
                  const dnnl::memory::desc& result, std::vector<Program::Argument>& arguments);

}  // namespace wafer::cpu::onednn
