#include "wafer/tensor/jit.h"

#include "wafer/runtime/compile_cache.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/eval.h"

namespace wafer {

namespace {
thread_local int trace_depth = 0;

struct TraceScope {
  TraceScope() { ++trace_depth; }
  ~TraceScope() { --trace_depth; }
};
}  // namespace

bool tracing() {
  return trace_depth > 0;
}

Graph trace(const TensorFunction& function, const std::vector<Type>& inputs,
            const std::vector<std::string>& names) {
  Graph graph;
  for (size_t i = 0; i < inputs.size(); ++i) {
    graph.inputs.push_back(make_input(inputs[i], i < names.size() ? names[i] : str("input", i)));
  }
  {
    TraceScope scope;
    graph.outputs = function(graph.inputs);
  }
  // What was computed before the trace stands as constants; other roots are computed now.
  graph = rewrite(
      graph,
      [](const Node& node, const std::vector<Tensor>&) -> std::optional<std::vector<Tensor>> {
        if (node.is(op::constant) || node.values.empty() || !node.values[0]) return std::nullopt;
        std::vector<Tensor> constants;
        for (size_t i = 0; i < node.outputs.size(); ++i) {
          constants.push_back(Tensor::from_storage(node.outputs[i], node.values[i]));
        }
        return constants;
      });
  return graph;
}

Jit::Jit(TensorFunction function, std::shared_ptr<Device> device)
    : function_(std::move(function)), device_(std::move(device)) {}

std::vector<Tensor> Jit::operator()(const std::vector<Tensor>& arguments) {
  if (!device_) device_ = default_device();
  std::vector<Type> types;
  for (const Tensor& argument : arguments) types.push_back(argument.type());
  const Entry* entry = nullptr;
  for (const Entry& candidate : entries_) {
    if (candidate.types == types) entry = &candidate;
  }
  if (!entry) {
    Graph graph = trace(function_, types);
    entries_.push_back({types, compile_cached(*device_, graph)});
    entry = &entries_.back();
  }
  evaluate(arguments, device_);
  std::vector<std::shared_ptr<Storage>> inputs;
  for (const Tensor& argument : arguments) inputs.push_back(argument.storage());
  auto results = execute(*device_, *entry->artifact, inputs);
  device_->synchronize();
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    outputs.push_back(Tensor::from_storage(entry->artifact->outputs[i], results[i]));
  }
  return outputs;
}

}  // namespace wafer
