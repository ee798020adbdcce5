#include "wafer/tensor/eval.h"

#include <cstring>
#include <unordered_map>

#include "wafer/ir/graph.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/jit.h"

namespace wafer {

namespace {

// The part of the recorded graph that is still to be computed: values with memory are its inputs.
// Scalars stay constants, so that `x * 2` and `x * 3` are two programs but the compiler sees their
// numbers.
struct Pending {
  Graph graph;
  std::vector<std::shared_ptr<Storage>> storages;
};

Pending collect(const std::vector<Tensor>& outputs) {
  Pending pending;
  std::unordered_map<const Node*, std::vector<Tensor>> replaced;
  auto lookup = [&](const Tensor& value) {
    Tensor result = replaced.at(&value.node())[static_cast<size_t>(value.index())];
    return result;
  };
  // Walks depth-first but not below values that have memory.
  std::vector<std::pair<Tensor, bool>> stack;
  for (const Tensor& output : outputs) stack.emplace_back(output, false);
  while (!stack.empty()) {
    auto [value, inputs_done] = stack.back();
    stack.pop_back();
    const Node& node = value.node();
    if (replaced.count(&node)) continue;
    if (node.is(op::input)) {
      throw UserError(
          "read",
          str("the value of traced input '", node.attr<InputAttrs>().name, "' (", value.type(),
              ") is read while the function is traced"),
          {.hint =
               "a traced function runs once to record a graph; use ops such as where() in place of "
               "reading values"});
    }
    bool computed = !node.values.empty() && node.values[0];
    bool scalar = computed && node.outputs[0].bytes() <= 8 && node.outputs[0].shape.rank() == 0;
    if (computed && node.is(op::constant) && scalar && node.values[0]->on_host()) {
      replaced[&node] = {value};
      continue;
    }
    if (computed) {
      auto& made = replaced[&node];
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        made.push_back(make_input(node.outputs[i], ""));
        pending.graph.inputs.push_back(made.back());
        pending.storages.push_back(node.values[i]);
      }
      continue;
    }
    if (!inputs_done) {
      stack.emplace_back(value, true);
      for (auto it = node.inputs.rbegin(); it != node.inputs.rend(); ++it)
        stack.emplace_back(*it, false);
      continue;
    }
    std::vector<Tensor> inputs;
    for (const Tensor& input : node.inputs) inputs.push_back(lookup(input));
    replaced[&node] = clone_node(node, std::move(inputs), node.outputs);
  }
  for (const Tensor& output : outputs) pending.graph.outputs.push_back(lookup(output));
  return pending;
}

// Every output of a node that is computed, so that node.values is whole or empty.
std::vector<Tensor> whole_nodes(const std::vector<Tensor>& values) {
  std::vector<Tensor> outputs;
  std::unordered_map<const Node*, bool> seen;
  for (const Tensor& value : values) {
    if (!value || value.storage() || seen[&value.node()]) continue;
    seen[&value.node()] = true;
    for (size_t i = 0; i < value.node().outputs.size(); ++i) {
      outputs.emplace_back(value.node_pointer(), static_cast<int>(i));
    }
  }
  return outputs;
}

}  // namespace

void evaluate(const std::vector<Tensor>& values, std::shared_ptr<Device> device) {
  std::vector<Tensor> outputs = whole_nodes(values);
  if (outputs.empty()) return;
  if (!device) device = default_device();
  Pending pending = collect(outputs);
  auto artifact = compile_cached(*device, pending.graph);
  auto results = execute(*device, *artifact, pending.storages);
  device->synchronize();
  for (size_t i = 0; i < outputs.size(); ++i) outputs[i].node().values.push_back(results[i]);
}

const Tensor& Tensor::eval() const {
  evaluate({*this});
  return *this;
}

std::vector<std::byte> Tensor::host_bytes() const {
  eval();
  std::vector<std::byte> bytes(type().bytes());
  storage()->read(bytes.data(), bytes.size());
  return bytes;
}

double Tensor::item_as_double() const {
  WAFER_REQUIRE(elements() == 1, "item", "a tensor of ", shape(), " has ", elements(),
                " elements, not one; use data<T>()");
  std::vector<std::byte> bytes = host_bytes();
  return visit(dtype(), [&]<class T>(std::type_identity<T>) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return static_cast<double>(value);
  });
}

}  // namespace wafer
