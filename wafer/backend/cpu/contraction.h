#pragma once
#include <cmath>
#include <vector>

#include "wafer/ir/type.h"
#include "wafer/pass/epilogue.h"
#include "wafer/runtime/kernel.h"

// Convolutions and matrix products: who computes them, and what may be fused behind them.
namespace wafer::cpu {

// What is done to each element of a contraction's result before it is stored, in this order: plus
// bias, plus residual, ReLU (which keeps NaN). Indices are inputs of the step; -1: not done.
struct Epilogue {
  int bias = -1;      // [output channels] of a convolution, [columns] of a product; dtype of y
  int residual = -1;  // a value of the result's type
  bool relu = false;
  double limit = HUGE_VAL;  // of ReLU
  bool wide_bias = false;   // the bias is f32, whatever y is

  bool empty() const { return bias < 0 && residual < 0 && !relu; }
};

// A convolution as seen forward, whichever of x, weight and y is computed.
struct ConvProblem {
  Type x, weight, y;  // [batch, in, ...], [out, in / groups, kernel...], [batch, out, ...]
  std::vector<int64_t> stride, padding_low, padding_high, dilation;
  int64_t groups = 1;
  // The weight's memory, where it is a constant of the program.
  const void* weight_values = nullptr;

  size_t spatial() const { return stride.size(); }
};

// A batch of products of equal rank: y = a b, a or b with the last two dimensions exchanged first.
// Of one dtype, or y f32 where a and b are bf16.
struct MatmulProblem {
  Type a, b, y;
  bool transpose_a = false, transpose_b = false;
  const void* b_values = nullptr;  // the memory of b, where it is a constant of the program
  bool b_lasts = false;            // b holds the same in many runs; make_matmul finds out
  int threads = 0;                 // at most so many; 0: thread_count()
};

// Inputs of the steps: x and weight; y's gradient and weight; x and y's gradient; a and b; then
// those of the epilogue.
Step make_conv(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_conv_input_gradient(const ConvProblem& problem, KernelContext& context);
Step make_conv_weight_gradient(const ConvProblem& problem, KernelContext& context);
Step make_matmul(const MatmulProblem& problem, const Epilogue& epilogue, KernelContext& context);

// The problem that a conv, conv_input_gradient or conv_weight_gradient (matmul) node states.
ConvProblem conv_problem(const Node& node);
MatmulProblem matmul_problem(const Node& node);

// The step of a `fused` node that holds a contraction and its epilogue.
Step make_contraction_group(const Node& node, const ContractionGroup& group,
                            KernelContext& context);

// By oneDNN; null where it cannot, or only by its reference code.
namespace onednn {
Step make_conv(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_conv_input_gradient(const ConvProblem& problem, KernelContext& context);
Step make_conv_weight_gradient(const ConvProblem& problem, KernelContext& context);
Step make_matmul(const MatmulProblem& problem, const Epilogue& epilogue, KernelContext& context);
}  // namespace onednn

// By this library's own kernels: every dtype and size.
namespace own {
Step make_conv(const ConvProblem& problem, const Epilogue& epilogue, KernelContext& context);
Step make_conv_input_gradient(const ConvProblem& problem, KernelContext& context);
Step make_conv_weight_gradient(const ConvProblem& problem, KernelContext& context);
Step make_matmul(const MatmulProblem& problem, const Epilogue& epilogue, KernelContext& context);
// Whether that is expected to be faster than oneDNN's.
bool is_matmul_faster(const MatmulProblem& problem);
}  // namespace own

}  // namespace wafer::cpu
