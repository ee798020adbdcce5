#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wafer/ir/attrs.h"
#include "wafer/ir/op_def.h"
#include "wafer/ir/tensor.h"

namespace wafer {

// One application of an op. Immutable but for `values`, the memory of outputs that have been
// computed.
struct Node {
  const OpDef* op;
  Attrs attrs;
  std::vector<Tensor> inputs;
  std::vector<Type> outputs;
  std::vector<std::shared_ptr<const Graph>> subgraphs;
  std::string path;  // module path where it was recorded, for example "cnn.conv1"
  const uint64_t serial = next_serial();  // grows with each node that this process makes
  mutable std::vector<std::shared_ptr<Storage>> values;

  Node() = default;
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  static uint64_t next_serial();
  bool is(const OpDef& def) const { return op == &def; }
  template <class T>
  const T& attr() const {
    return attrs.as<T>();
  }
};

// Infers the outputs and makes a node. A UserError of infer gets the module path added.
std::vector<Tensor> make_node(const OpDef& op, std::vector<Tensor> inputs, Attrs attrs = {},
                              std::vector<std::shared_ptr<const Graph>> subgraphs = {});
// The same for an op with one output.
Tensor make(const OpDef& op, std::vector<Tensor> inputs, Attrs attrs = {});
// A copy of `node` on other inputs and with given output types: what passes use once layouts are
// chosen.
std::vector<Tensor> clone_node(const Node& node, std::vector<Tensor> inputs,
                               std::vector<Type> outputs);

// The module path that new nodes of this thread get.
const std::string& current_path();

// Sets (whole) or extends (by ".name") the module path while alive.
class PathScope {
 public:
  static PathScope whole(const std::string& path);
  static PathScope extend(const std::string& name);
  ~PathScope();
  PathScope(const PathScope&) = delete;
  PathScope& operator=(const PathScope&) = delete;

 private:
  explicit PathScope(std::string path);
  std::string saved_;
};

// A placeholder for a value that a graph gets when it runs.
Tensor make_input(const Type& type, const std::string& name);
extern const OpDef input_def;     // attributes: InputAttrs
extern const OpDef constant_def;  // its value lies in Node::values
namespace op {
inline constexpr const OpDef& input = input_def;
inline constexpr const OpDef& constant = constant_def;
}  // namespace op

struct InputAttrs {
  std::string name;
  static constexpr auto fields() { return std::make_tuple(Field{"name", &InputAttrs::name}); }
};

}  // namespace wafer
