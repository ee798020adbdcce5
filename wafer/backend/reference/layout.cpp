#include "wafer/op/layout.h"

#include <algorithm>
#include <unordered_map>

#include "wafer/backend/reference/array.h"
#include "wafer/backend/reference/reference.h"

namespace wafer::reference {

namespace {

// Copies every element of a value to where another type of the same shape and dtype has it.
Step copy_between(const Type& from, const Type& to) {
  Extent x(from), y(to);
  Mover mover(to);
  return [=](const StepArgs& args) {
    for_each(y.sizes, [&](const Coordinates& at) {
      mover.move(args.in[0], x.offset(at), args.out[0], y.offset(at));
    });
  };
}

// One node of a fused group: its kernel and where its values lie in the scratch memory, or, for
// constants, outside it.
struct Inner {
  Step step;
  std::vector<size_t> inputs, outputs;  // numbers of values
};

}  // namespace

WAFER_KERNEL(reorder) {
  return copy_between(node.inputs[0].type(), node.outputs[0]);
}

// Evaluates the group node by node. Values within it lie in scratch memory; the group's inputs and
// outputs are copied in and out, since their layouts may differ from those outside.
WAFER_KERNEL(fused) {
  WAFER_CHECK(node.subgraphs.size() == 1, "groups that run together are for devices");
  const Graph& group = *node.subgraphs.at(0);
  struct Value {
    size_t offset = 0;               // in scratch memory
    std::shared_ptr<Storage> fixed;  // a constant's memory instead
  };
  std::vector<Value> values;
  std::unordered_map<const Node*, size_t> first_value;  // of a node's outputs
  size_t bytes = 0;
  auto reserve = [&bytes](size_t size) {
    size_t offset = bytes;
    bytes += (size + 63) / 64 * 64;
    return offset;
  };
  std::vector<Inner> steps;
  auto order = topological_order(group);
  for (const Node* inner : order) {
    first_value[inner] = values.size();
    for (const Type& type : inner->outputs) {
      if (inner->is(op::constant))
        values.push_back({0, inner->values[0]});
      else
        values.push_back({reserve(type.bytes()), nullptr});
    }
  }
  auto value_of = [&](const Tensor& tensor) {
    return first_value.at(&tensor.node()) + static_cast<size_t>(tensor.index());
  };
  size_t inner_scratch = 0;
  for (const Node* inner : order) {
    if (inner->is(op::constant) || inner->is(op::input)) continue;
    MakeKernel make = find_kernel(*inner->op);
    WAFER_CHECK(make != nullptr, "no reference kernel for ", inner->op->name, " in a fused group");
    KernelContext inner_context{context.target, std::vector<bool>(inner->outputs.size(), true)};
    Inner step{make(*inner, inner_context), {}, {}};
    inner_scratch = std::max(inner_scratch, inner_context.scratch_bytes);
    for (const Tensor& input : inner->inputs) step.inputs.push_back(value_of(input));
    for (size_t i = 0; i < inner->outputs.size(); ++i)
      step.outputs.push_back(first_value.at(inner) + i);
    steps.push_back(std::move(step));
  }
  size_t scratch_start = reserve(inner_scratch);
  context.scratch_bytes = bytes;

  std::vector<std::pair<Step, size_t>> copies_in, copies_out;
  for (size_t i = 0; i < group.inputs.size(); ++i) {
    copies_in.emplace_back(copy_between(node.inputs[i].type(), group.inputs[i].type()),
                           value_of(group.inputs[i]));
  }
  for (size_t i = 0; i < group.outputs.size(); ++i) {
    copies_out.emplace_back(copy_between(group.outputs[i].type(), node.outputs[i]),
                            value_of(group.outputs[i]));
  }
  return [=](const StepArgs& args) {
    auto address = [&](size_t value) -> void* {
      return values[value].fixed ? values[value].fixed->data()
                                 : args.scratch + values[value].offset;
    };
    for (size_t i = 0; i < copies_in.size(); ++i) {
      void *from = args.in[i], *to = address(copies_in[i].second);
      copies_in[i].first({&from, &to, nullptr});
    }
    for (const Inner& step : steps) {
      std::vector<void*> in, out;
      for (size_t value : step.inputs) in.push_back(address(value));
      for (size_t value : step.outputs) out.push_back(address(value));
      step.step({in.data(), out.data(), args.scratch + scratch_start});
    }
    for (size_t i = 0; i < copies_out.size(); ++i) {
      void *from = address(copies_out[i].second), *to = args.out[i];
      if (to) copies_out[i].first({&from, &to, nullptr});
    }
  };
}

}  // namespace wafer::reference
