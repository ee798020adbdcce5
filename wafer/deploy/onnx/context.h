#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wafer/deploy/onnx/model.h"

namespace wafer::onnx {

class Walk;
struct Scope;

// One node as its rule sees it: inputs, attributes, version. What is missing or of a wrong kind is
// a UserError that the walk completes with the node's name, operator and version.
class Context {
 public:
  Context(Walk& walk, Scope& scope, const NodeDef& node, int version, std::vector<Value> inputs)
      : walk_(walk), scope_(scope), node_(node), version_(version), inputs_(std::move(inputs)) {}

  const NodeDef& node() const { return node_; }
  int version() const { return version_; }  // of the operator: where it last changed
  Walk& walk() const { return walk_; }
  Scope& scope() const { return scope_; }

  size_t inputs() const { return inputs_.size(); }
  bool has(size_t index) const { return index < inputs_.size() && inputs_[index]; }
  // An input that must be there; whatever it holds.
  const Value& value(size_t index) const;
  // A tensor that must be there; one that may be missing (then empty).
  const Tensor& in(size_t index) const;
  Tensor optional(size_t index) const;
  ElementType type(size_t index) const { return value(index).type; }
  const StringTensor& strings(size_t index) const;
  const std::vector<Value>& sequence(size_t index) const;

  // Whether the node names that output.
  bool wants(size_t output) const;
  size_t outputs() const { return node_.outputs.size(); }

  // Attributes.
  const Attribute* find(const std::string& name) const;
  bool given(const std::string& name) const { return find(name) != nullptr; }
  int64_t integer(const std::string& name, std::optional<int64_t> otherwise = {}) const;
  bool flag(const std::string& name, bool otherwise = false) const;
  double number(const std::string& name, std::optional<double> otherwise = {}) const;
  std::string text(const std::string& name, std::optional<std::string> otherwise = {}) const;
  std::vector<int64_t> integers(const std::string& name, std::vector<int64_t> otherwise = {}) const;
  std::vector<double> numbers(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  const Value& tensor_attribute(const std::string& name) const;
  const GraphDef& graph_attribute(const std::string& name) const;

  // The numbers that an input holds: of constants when the graph is made, of computed values by
  // running what they need. Where they depend on an input of a graph that is compiled ahead, a
  // UserError says so.
  std::vector<int64_t> integers_of(size_t index) const;
  std::vector<double> numbers_of(size_t index) const;
  // Of an input that must hold one number.
  int64_t scalar_integer(size_t index) const;
  double scalar_number(size_t index) const;
  std::vector<double> numbers_of(const Tensor& tensor, const std::string& what) const;
  // The same from an attribute in old versions, an input in newer ones; nothing where neither is.
  std::optional<std::vector<int64_t>> integers_from(const std::string& attribute,
                                                    size_t index) const;

  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const;
  void require(bool ok, const std::string& what) const {
    if (!ok) fail(what);
  }

 private:
  Walk& walk_;
  Scope& scope_;
  const NodeDef& node_;
  int version_;
  std::vector<Value> inputs_;
};

// What a rule writes: one value an output; fewer where the rest is not asked for.
using Values = std::vector<Value>;
using Rule = Values (*)(Context&);

// The rule of an operator; rules/*.cpp hold them, one list a family.
struct RuleEntry {
  const char* name;
  Rule rule;
  // Whether it takes types held in a wider dtype (8-bit floats, 4-bit integers). Others refuse
  // them, since they would compute in the wider dtype.
  bool any_type = false;
  const char* domain = "";
};
const RuleEntry* find_rule(std::string_view domain, std::string_view name);

}  // namespace wafer::onnx
