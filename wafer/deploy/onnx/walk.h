#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "wafer/deploy/onnx/context.h"
#include "wafer/deploy/onnx/limits.h"
#include "wafer/deploy/onnx/model.h"
#include "wafer/runtime/device.h"

namespace wafer::onnx {

// By names that lie in the model.
using NamedValues = std::map<std::string_view, Value>;

// The values of a graph by name while it is walked, within those of the graphs around it.
struct Scope {
  const Scope* outer = nullptr;
  const Opsets* opsets = nullptr;
  const std::map<std::string, Attribute>* attributes = nullptr;  // of the function, if in one
  NamedValues values;

  const Value* find(const std::string& name) const;
};

// Goes through a model's nodes in order and lets each one's rule record graph ops. Nothing is
// computed but what a rule must know to go on: shapes, bounds, conditions.
class Walk {
 public:
  // `ahead`: the inputs are placeholders, so that what depends on them cannot be read.
  Walk(const ModelDef& model, bool ahead, std::shared_ptr<Device> device, const Limits& limits)
      : model_(model), ahead_(ahead), device_(std::move(device)), limits_(limits) {}

  // The outputs of a graph on its inputs' values by name.
  std::vector<Value> graph(const GraphDef& graph, NamedValues inputs, const Scope* outer,
                           const Opsets& opsets,
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

  const Limits& limits() const { return limits_; }
  static constexpr int64_t most_host_elements = 10'000'000;  // of one tensor that a rule reads
  static constexpr int most_depth = 128;                     // of functions and subgraphs

 private:
  void node(const NodeDef& node, Scope& scope);
  std::vector<Value> by_rule(const NodeDef& node, Scope& scope, std::vector<Value> inputs);
  void check_depth(const std::string& what) const;
  // Refuses to compute more than the limits allow. Gives the small values that are computed on the
  // way.
  std::vector<Tensor> check_work(const std::vector<Tensor>& tensors);
  void check_node_work(const Node& node) const;
  std::string work_hint() const;
  // Counts the graph's nodes that were made since `serial` for the outputs of `n`; UserError where
  // they take more memory than a file of the model's size may, where it is compiled ahead.
  void count_recorded(const std::vector<Value>& outputs, uint64_t serial, const NodeDef& n);
  // Counts a value on the host while it lives; UserError where they pass the limit.
  void hold(const Value& value, const NodeDef& node);
  std::vector<Value> call(const FunctionDef& function, const NodeDef& node, Scope& scope,
                          std::vector<Value> inputs);

  const ModelDef& model_;
  bool ahead_;
  std::shared_ptr<Device> device_;
  Limits limits_;
  double work_ = 0;  // computed so far
  int64_t recorded_bytes_ = 0;
  int segments_ = 0;
  int64_t nodes_ = 0;
  int depth_ = 0;
  std::vector<std::pair<std::weak_ptr<const void>, int64_t>> held_;  // with their bytes
  int64_t held_bytes_ = 0;                                           // with some that are gone
};

}  // namespace wafer::onnx
