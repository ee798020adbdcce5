#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "wafer/deploy/onnx/model.h"
#include "wafer/ir/graph.h"

// Writing of ONNX nodes, and the rules that do so for each op.
namespace wafer::onnx::exporter {

using Ints = std::vector<int64_t>;

// A value of the file that is being written.
struct Ref {
  std::string name;
  DType dtype = DType::f32;
  explicit operator bool() const { return !name.empty(); }
};
using Refs = std::vector<Ref>;

// An attribute of whatever kind its value has.
struct Setting : Attribute {
  Setting(int64_t value);                          // NOLINT
  Setting(int value) : Setting(int64_t{value}) {}  // NOLINT
  Setting(double value);                           // NOLINT
  Setting(const char* value);                      // NOLINT
  Setting(const std::string& value);               // NOLINT
  Setting(const Ints& value);                      // NOLINT
  Setting(const std::vector<std::string>& value);  // NOLINT
  Setting(Value value);                            // NOLINT
  Setting(std::shared_ptr<const GraphDef> value);  // NOLINT
};
using Settings = std::vector<std::pair<std::string, Setting>>;

class Emitter {
 public:
  explicit Emitter(int64_t opset) : opset_(opset) {}

  int64_t opset() const { return opset_; }

  // ---- what rules call ----

  // The value of a tensor of the graph.
  Ref in(const Tensor& tensor);
  // The same without broadcasts before it, for operators that broadcast themselves; where `shape`
  // comes out of all the operands together (see operands).
  Refs operands(const std::vector<Tensor>& tensors, const Shape& shape);

  // Adds a node of one output, of dtype `out`.
  Ref op(const std::string& type, const Refs& inputs, DType out, const Settings& settings = {});
  // One with an output for each dtype.
  Refs ops(const std::string& type, const Refs& inputs, const std::vector<DType>& outs,
           const Settings& settings = {});
  // A node whose inputs and output are of one dtype, computed in a wider one where the operator
  // lacks it at this operator set; the result is cast back.
  Ref same(const std::string& type, const Refs& inputs, const Settings& settings = {});
  // The dtype that `same` computes in.
  DType computed_in(const std::string& type, DType dtype) const;

  Ref cast(const Ref& x, DType dtype);  // x itself where it is of that dtype
  Ref ints(const Ints& values);         // i64 [n]
  Ref integer(int64_t value);           // i64 scalar
  Ref scalar(double value, DType dtype);
  Ref constant(const Tensor& value);  // a host constant
  Ref ones(const Ints& sizes, DType dtype);
  // i64 [rank]: computed from the inputs' sizes where the shape has symbols.
  Ref shape(const Shape& shape);
  Ref dim(const Dim& dim);  // i64 [1]
  // x, of that many elements, under another shape.
  Ref reshape(const Ref& x, const Shape& shape);
  Ref transpose(const Ref& x, const Ints& permutation);
  Ref slice(const Ref& x, const Ints& starts, const Ints& ends, const Ints& axes,
            const Ints& steps = {});
  Ref unsqueeze(const Ref& x, const Ints& axes);
  Ref squeeze(const Ref& x, const Ints& axes);
  Ref concat(const Refs& parts, int64_t axis);

  // The graph's nodes here, with these in place of its inputs; the values of its outputs.
  Refs inlined(const Graph& graph, const Refs& inputs);
  // A graph of its own, as control flow has them. `body` writes its nodes and gives its outputs,
  // which become outputs under fresh names.
  std::shared_ptr<const GraphDef> subgraph(const std::vector<Type>& inputs,
                                           const std::function<Refs(const Refs&)>& body,
                                           const std::vector<Type>& outputs);

  // A bias that a contraction takes with it: the sum is written as one node. Empty when `sum` is no
  // such thing.
  struct Biased {
    const Node* contraction = nullptr;
    Tensor bias;  // [channels] of conv, [n] of matmul
  };
  Biased biased(const Node& sum) const;
  // Whether something reads that output of a node of the graph that is being written.
  bool reads(const Node& node, int output) const;

  // ---- what to_onnx calls ----
  std::string fresh(const std::string& wanted);  // a name that no value has yet
  void bind(const Tensor& tensor, const Ref& ref);
  GraphDef& top() { return top_; }
  // Where symbols come from: a dimension of an input.
  void learn_symbols(const Ref& input, const Shape& shape);
  Refs outputs_of(const Graph& graph);
  // A value under the given name: an Identity node.
  void name_output(const Ref& value, const std::string& name);

 private:
  using Key = std::pair<const Node*, int>;
  struct Frame {  // a graph of nodes that is being written
    std::map<Key, Ref> values;
    std::set<const Node*> absorbed;  // written with the sum that follows
    std::set<Key> read;
  };
  const Ref* find(const Key& key) const;
  Ref symbol(const std::string& name);  // i64 [1]
  void write(const Node& node);
  void write_nodes(const Graph& graph);

  int64_t opset_;
  GraphDef top_;
  std::vector<GraphDef*> targets_ = {&top_};
  std::vector<Frame> frames_ = {Frame()};
  std::set<std::string> names_;
  std::map<std::string, Ref> constants_;  // by dtype, shape and bytes
  std::map<std::string, std::pair<Ref, int>> symbols_;
  std::map<std::string, Ref> symbol_values_;
  std::string path_;  // module path of the node that is being written
};

// The rule of an op: the node's outputs in ONNX.
using Rule = Refs (*)(Emitter&, const Node&);
// Which of a node's outputs something reads.
using Used = std::vector<bool>;
struct RuleEntry {
  const OpDef* op;
  const char* how;  // for the documentation: the operators' names
  Rule rule;
  // Why the rule does not hold for this node (then it is decomposed); null: it holds for all.
  std::string (*refuses)(const Node& node, int64_t opset, const Used& used) = nullptr;
};
using RuleList = std::span<const RuleEntry>;
RuleList elementwise_rules();
RuleList shape_rules();
RuleList reduce_rules();
RuleList contraction_rules();
RuleList pool_rules();
RuleList index_rules();
RuleList norm_rules();
RuleList recurrent_rules();
RuleList control_flow_rules();
const RuleEntry* find_rule(const OpDef* op);

}  // namespace wafer::onnx::exporter
