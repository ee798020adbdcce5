#include "wafer/kernel/device/followers.h"

#include "wafer/kernel/device/convolution.h"
#include "wafer/kernel/device/gemm.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/layout.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::kernel {

namespace {
// Where the bias of a group is in a run. A library reads it in the result's dtype: that of weights
// which are kept in f32 is cast into scratch memory first.
class Bias {
 public:
  // Adds the cast, where there is one, behind the scratch memory that the kernel has asked for.
  Bias(const Node& node, const ContractionGroup& group, KernelContext& context)
      : input_(group.bias) {
    if (input_ < 0) return;
    const Type& bias = node.inputs[static_cast<size_t>(input_)].type();
    DType dtype = node.outputs[0].dtype;
    if (bias.dtype == dtype) return;
    Tensor wide = make_input({bias.dtype, Shape{bias.elements()}}, "bias");
    narrow_ = make_elementwise(cast(wide, dtype).node(), context);
    Scratch scratch;
    scratch.reserve(context.scratch_bytes);
    offset_ = scratch.reserve(byte_size(dtype, bias.elements()));
    context.scratch_bytes = scratch.total();
  }

  const void* ready(const StepArgs& args) const {
    if (input_ < 0) return nullptr;
    auto input = static_cast<size_t>(input_);
    if (!narrow_) return args.in[input];
    void* narrowed = args.scratch + offset_;
    narrow_({&args.in[input], &narrowed, nullptr});
    return narrowed;
  }

 private:
  int input_;
  Step narrow_;
  size_t offset_ = 0;
};

const void* residual_of(const ContractionGroup& group, const StepArgs& args) {
  return group.residual < 0 ? nullptr : args.in[static_cast<size_t>(group.residual)];
}

template <class Problem>
void tell(Problem& problem, const ContractionGroup& group) {
  problem.bias = group.bias >= 0;
  problem.residual = group.residual >= 0;
  problem.relu = group.relu;
}

Step product_by_library(const Node& node, const ContractionGroup& group, KernelContext& context) {
  auto problem = product_problem(*group.contraction);
  if (!problem) return nullptr;
  tell(*problem, group);
  auto launch = make_library_product(node, context, *problem);
  if (!launch) return nullptr;
  Bias bias(node, group, context);
  context.kernel = launch->product->name();
  return [product = launch->product, what = launch->what, bias, group](const StepArgs& args) {
    ProductAddresses at{args.in[0], args.in[1], args.out[0]};
    at.residual = residual_of(group, args);
    at.bias = bias.ready(args);
    product->launch(at, what);
  };
}

Step convolution_by_library(const Node& node, const ContractionGroup& group,
                            KernelContext& context) {
  auto problem = convolution_problem(*group.contraction);
  // cuDNN has engines for what follows a bias, and for nothing else.
  if (!problem || group.bias < 0) return nullptr;
  tell(*problem, group);
  auto convolution = find_library_convolution(context, *problem);
  if (!convolution) return nullptr;
  Bias bias(node, group, context);
  context.kernel = convolution->name();
  return [convolution, bias, group, what = describe(node)](const StepArgs& args) {
    ConvolutionAddresses at{args.in[0], args.in[1], args.out[0]};
    at.residual = residual_of(group, args);
    at.bias = bias.ready(args);
    convolution->launch(at, args.scratch, what);
  };
}

// The group by the vendor's library; null where it does not take it.
Step by_library(const Node& node, const ContractionGroup& group, KernelContext& context) {
  if (group.limit < HUGE_VAL) return nullptr;
  return group.contraction->is(op::matmul) ? product_by_library(node, group, context)
                                           : convolution_by_library(node, group, context);
}

// What follows the contraction as a group of element-wise ops on (its result, bias, residual).
Tensor followers(const Node& node, const ContractionGroup& group) {
  const Type& type = group.contraction->outputs[0];
  Tensor result = make_input(type, "result");
  Graph rest = rewrite(
      *node.subgraphs[0],
      [&](const Node& each, const std::vector<Tensor>& in) -> std::optional<std::vector<Tensor>> {
        if (&each == group.contraction) return {{result}};
        // A loop casts what it has read, and reads along the whole result.
        if (each.is(op::broadcast_to) && in[0].node().is(op::cast)) {
          const Tensor& bias = in[0].node().inputs[0];
          Tensor wide = broadcast_to(bias, each.outputs[0].shape);
          return {{cast(wide, each.outputs[0].dtype)}};
        }
        return std::nullopt;
      });
  rest.inputs.erase(rest.inputs.begin());
  rest.inputs[0] = result;
  Tensor fused = fuse(std::make_shared<const Graph>(rest), rest.inputs)[0];
  return clone_node(fused.node(), fused.node().inputs, {type})[0];
}
}  // namespace

Step make_with_followers(const Node& node, const ContractionGroup& group, KernelContext& context) {
  if (Step step = by_library(node, group, context)) return step;
  Step contraction = find_kernel(*group.contraction->op)(*group.contraction, context);
  std::string name = context.kernel;
  Step rest = make_elementwise(followers(node, group).node(), context);
  context.kernel = name + "+fused";
  size_t more = node.inputs.size() - 2;
  return [contraction, rest, more](const StepArgs& args) {
    contraction(args);
    std::vector<void*> in = {args.out[0]};
    in.insert(in.end(), args.in + 2, args.in + 2 + more);
    rest({in.data(), args.out, nullptr});
  };
}

}  // namespace wafer::kernel
