#include "wafer/kernel/device/product_group.h"

#include "wafer/kernel/device/gemm.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/layout.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer::kernel {

namespace {
// The group by the vendor's library; null where it does not take it.
Step make_by_library(const Node& node, const ContractionGroup& group, KernelContext& context) {
  auto problem = product_problem(*group.contraction);
  if (!problem || group.limit < HUGE_VAL) return nullptr;
  problem->bias = group.bias >= 0;
  problem->residual = group.residual >= 0;
  problem->relu = group.relu;
  auto launch = make_library_product(node, context, *problem);
  if (!launch) return nullptr;
  // A bias of weights that are kept in f32: the library reads it in the result's dtype.
  Step narrow;
  auto bias = static_cast<size_t>(group.bias), residual = static_cast<size_t>(group.residual);
  if (problem->bias && node.inputs[bias].dtype() != problem->dtype) {
    Tensor wide = make_input({node.inputs[bias].dtype(), Shape{problem->n}}, "bias");
    narrow = make_elementwise(cast(wide, problem->dtype).node(), context);
    context.scratch_bytes = byte_size(problem->dtype, problem->n);
  }
  context.kernel = launch->product->name();
  return [product = launch->product, what = launch->what, narrow, bias, residual,
          p = *problem](const StepArgs& args) {
    ProductAddresses at{args.in[0], args.in[1], args.out[0]};
    if (p.residual) at.residual = args.in[residual];
    if (p.bias) at.bias = args.in[bias];
    if (narrow) {
      void* narrowed = args.scratch;
      narrow({&args.in[bias], &narrowed, nullptr});
      at.bias = narrowed;
    }
    product->launch(at, what);
  };
}

// What follows the product as a group of element-wise ops on (product, bias, residual).
Tensor followers(const Node& node, const ContractionGroup& group) {
  Tensor product = make_input(group.contraction->outputs[0], "product");
  Graph rest = rewrite(
      *node.subgraphs[0],
      [&](const Node& each, const std::vector<Tensor>& in) -> std::optional<std::vector<Tensor>> {
        if (&each == group.contraction) return {{product}};
        // A loop casts what it has read, and reads along the whole result.
        if (each.is(op::broadcast_to) && in[0].node().is(op::cast)) {
          const Tensor& bias = in[0].node().inputs[0];
          Tensor wide = broadcast_to(bias, each.outputs[0].shape);
          return {{cast(wide, each.outputs[0].dtype)}};
        }
        return std::nullopt;
      });
  rest.inputs.erase(rest.inputs.begin());
  rest.inputs[0] = product;
  return fuse(std::make_shared<const Graph>(rest), rest.inputs)[0];
}
}  // namespace

Step make_product_group(const Node& node, const ContractionGroup& group, KernelContext& context) {
  if (Step step = make_by_library(node, group, context)) return step;
  Step product = find_kernel(op::matmul)(*group.contraction, context);
  std::string name = context.kernel;
  Step rest = make_elementwise(followers(node, group).node(), context);
  context.kernel = name + "+fused";
  size_t more = node.inputs.size() - 2;
  return [product, rest, more](const StepArgs& args) {
    product(args);
    std::vector<void*> in = {args.out[0]};
    in.insert(in.end(), args.in + 2, args.in + 2 + more);
    rest({in.data(), args.out, nullptr});
  };
}

}  // namespace wafer::kernel
