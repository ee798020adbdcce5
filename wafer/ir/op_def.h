#pragma once
#include <string>
#include <vector>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

namespace wafer {

struct Graph;

// What infer reads. Inputs may be symbolic in their dimensions.
struct InferArgs {
  const std::vector<Tensor>& inputs;
  const Attrs& attrs;
  const std::vector<std::shared_ptr<const Graph>>& subgraphs;
};

// What a vjp (vector-Jacobian product) reads.
struct VjpArgs {
  const Node& node;
  const std::vector<Tensor>& inputs;
  const std::vector<Tensor>& outputs;
  // Gradient of the loss by each output; empty tensors where an output does not reach the loss.
  const std::vector<Tensor>& output_gradients;
  // Which inputs need a gradient; entries for others may be left empty.
  const std::vector<bool>& needed;
};

// Work of one node: floating point (or integer) operations, and bytes read and written if nothing
// is cached.
struct Cost {
  double flops = 0;
  double bytes = 0;
};

// An op is data: one constant of this type per op, beside its builder in op/<family>.cpp.
struct OpDef {
  const char* name;
  // Shapes and dtypes of the outputs: the only place they are computed. Throws UserError for a
  // wrong input.
  std::vector<Type> (*infer)(const InferArgs&);
  // Gradients by each input, written with op builders; null = not differentiable itself.
  std::vector<Tensor> (*vjp)(const VjpArgs&) = nullptr;
  // The outputs in terms of other ops; null = this op is a primitive.
  std::vector<Tensor> (*decompose)(const Node&, const std::vector<Tensor>& inputs) = nullptr;
  Cost (*cost)(const Node&) = nullptr;
  // Builds the op's attributes from a list of fields; null = the op has none.
  Attrs (*read_attrs)(const AttrList&) = nullptr;
  // Each output element depends on the same element of each input (all of one shape) alone.
  bool elementwise = false;

  bool is_primitive() const { return decompose == nullptr; }
};

}  // namespace wafer
