#include "wafer/backend/cpu/onednn/epilogue.h"

#include <cmath>
#include <limits>

namespace wafer::cpu::onednn {

dnnl::primitive_attr with_epilogue(const Epilogue& epilogue, const dnnl::memory::desc& result) {
  dnnl::primitive_attr attributes = own_scratchpad();
  dnnl::post_ops operations;
  if (epilogue.residual >= 0) operations.append_binary(dnnl::algorithm::binary_add, result);
  if (epilogue.limit < HUGE_VAL) {
    // Here NaN becomes -infinity, which the next operation turns into NaN again.
    operations.append_eltwise(dnnl::algorithm::eltwise_clip, -HUGE_VALF,
                              static_cast<float>(epilogue.limit));
  }
  if (epilogue.relu) {
    // With a slope of zero oneDNN computes max(x, 0), which turns NaN into 0 and would hide a
    // diverged model. The least slope there is takes its other path, which selects by x > 0, and
    // counts as zero where denormals are flushed, as they are in a run.
    operations.append_eltwise(dnnl::algorithm::eltwise_relu,
                              std::numeric_limits<float>::denorm_min(), 0);
  }
  attributes.set_post_ops(operations);
  return attributes;
}

void add_epilogue(const Epilogue& epilogue, const dnnl::memory::desc& bias,
                  const dnnl::memory::desc& result, std::vector<Program::Argument>& arguments) {
  if (epilogue.bias >= 0) {
    arguments.push_back(
        {DNNL_ARG_BIAS, bias, Program::Place::input, static_cast<size_t>(epilogue.bias)});
  }
  if (epilogue.residual >= 0) {
    arguments.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, result,
                         Program::Place::input, static_cast<size_t>(epilogue.residual)});
  }
}

}  // namespace wafer::cpu::onednn
