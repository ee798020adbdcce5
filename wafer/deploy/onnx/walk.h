#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "wafer/deploy/onnx/context.h"
#include "wafer/deploy/onnx/model.h"
#include "wafer/runtime/device.h"

namespace wafer::onnx {

// The values of a graph by name while it is walked, within those of the graphs around it.
struct Scope {
  const Scope* outer = nullptr;
  const Opsets* opsets = nullptr;
  const std::map<std::string, Attribute>* attributes = nullptr;  // of the function, if in one
  std::map<std::string, Value> values;

  const Value* find(const std::string& name) const;
};

// Goes through a model's nodes in order and lets each one's rule record graph ops. Nothing is
// computed but what a rule must know to go on: shapes, bounds, conditions.
class Walk {
 public:
  // `ahead`: the inputs are placeholders, so that what depends on them cannot be read.
  Walk(const ModelDef& model, bool ahead, std::shared_ptr<Device> device)
      : model_(model), ahead_(ahead), device_(std::move(device)) {}

  // The outputs of a graph on its inputs' values by name.
  std::vector<Value> graph(const GraphDef& graph, std::map<std::string, Value> inputs,
                           const Scope* outer, const Opsets& opsets,
                           const std::map<std::string, Attribute>* attributes = nullptr);
  // A subgraph of a node within `scope`, its inputs in order.
  std::vector<Value> subgraph(const GraphDef& graph, const std::vector<Value>& inputs,
                              const Scope& scope);

  bool ahead() const { return ahead_; }
  // True when the value does not depend on a placeholder.
  bool known(const Tensor& tensor) const;
  // The bytes of a tensor, computed now. Counts as a segment of its own where it is not constant.
  std::vector<std::byte> bytes(const Tensor& tensor, const std::string& what);
  void evaluate(const std::vector<Tensor>& tensors);
  // How often computed values were read on the way: what is not compiled as one graph.
  int segments() const { return segments_; }
  const ModelDef& model() const { return model_; }

 private:
  void node(const NodeDef& node, Scope& scope);
  std::vector<Value> call(const FunctionDef& function, const NodeDef& node, Scope& scope,
                          std::vector<Value> inputs);

  const ModelDef& model_;
  bool ahead_;
  std::shared_ptr<Device> device_;
  int segments_ = 0;
};

}  // namespace wafer::onnx
