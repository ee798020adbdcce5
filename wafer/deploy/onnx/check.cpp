#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "wafer/base/strings.h"
#include "wafer/deploy/onnx/model.h"
#include "wafer/deploy/onnx/schema.h"

namespace wafer::onnx {

namespace {
// What a graph may read: its own names, and those of the graphs around it.
struct Names {
  const Names* outer = nullptr;
  std::set<std::string_view> known;  // of the model's own texts

  bool has(std::string_view name) const {
    return known.count(name) != 0 || (outer && outer->has(name));
  }
};

class Checker {
 public:
  explicit Checker(const ModelDef& model) : model_(model) {}

  void graph(const GraphDef& graph, const Names* outer, int depth) {
    WAFER_REQUIRE(depth < 64, model_.where, "graph '", graph.name, "': graphs nested too deeply");
    Names names{outer, {}};
    for (const ValueInfo& input : graph.inputs) {
      WAFER_REQUIRE(names.known.insert(input.name).second, model_.where, "input '", input.name,
                    "' is there twice");
    }
    std::set<std::string_view> initialised;
    for (const auto& [name, value] : graph.initializers) {
      WAFER_REQUIRE(initialised.insert(name).second, model_.where, "initializer '", name,
                    "' is there twice");
      names.known.insert(name);
    }
    nodes(graph.nodes, names, model_.opsets, depth);
    for (const ValueInfo& output : graph.outputs) {
      WAFER_REQUIRE(names.has(output.name), model_.where, "output '", output.name,
                    "' is made by no node");
    }
  }

  void function(const FunctionDef& function) {
    Names names;
    for (const std::string& input : function.inputs) {
      WAFER_REQUIRE(names.known.insert(input).second, model_.where, "function '", function.name,
                    "': input '", input, "' is there twice");
    }
    nodes(function.nodes, names, function.opsets, 0);
    for (const std::string& output : function.outputs) {
      WAFER_REQUIRE(names.has(output), model_.where, "function '", function.name, "': output '",
                    output, "' is made by no node");
    }
    height(function);
  }

 private:
  void nodes(const std::vector<NodeDef>& list, Names& names, const Opsets& opsets, int depth) {
    auto made_later = [&](const std::string& name) {
      return std::any_of(list.begin(), list.end(), [&](const NodeDef& node) {
        return std::find(node.outputs.begin(), node.outputs.end(), name) != node.outputs.end();
      });
    };
    for (const NodeDef& node : list) {
      if (!model_.functions.count({node.domain, node.op_type}))
        check_node(node, opsets, model_.where);
      for (const std::string& input : node.inputs) {
        if (input.empty() || names.has(input)) continue;
        std::string why = made_later(input)
                              ? "which only a later node makes: the graph has a cycle, or its "
                                "nodes are not in order"
                              : "which nothing makes";
        throw UserError(model_.where, str(node.text(), " reads '", input, "', ", why));
      }
      for (const auto& [name, attribute] : node.attributes)
        if (attribute.g) graph(*attribute.g, &names, depth + 1);
      for (const std::string& output : node.outputs) {
        if (output.empty()) continue;
        WAFER_REQUIRE(names.known.insert(output).second, model_.where, node.text(), " makes '",
                      output, "', which is there already: each name is made once");
      }
    }
  }

  using Key = std::pair<std::string, std::string>;

  // How many functions deep the calls of one go; each is looked at once. UserError where one calls
  // itself.
  int height(const FunctionDef& function) {
    Key key(function.domain, function.name);
    auto known = heights_.find(key);
    if (known != heights_.end()) return known->second;
    WAFER_REQUIRE(callers_.insert(key).second, model_.where, "function '", function.name,
                  "' calls itself");
    check_calls(callers_.size());
    int deepest = height_of_calls(function.nodes);
    check_calls(static_cast<size_t>(deepest) + callers_.size());
    callers_.erase(key);
    return heights_[key] = deepest + 1;
  }
  int height_of_calls(const std::vector<NodeDef>& nodes) {
    int deepest = 0;
    for (const NodeDef& node : nodes) {
      auto called = model_.functions.find({node.domain, node.op_type});
      if (called != model_.functions.end()) deepest = std::max(deepest, height(called->second));
      for (const auto& [name, attribute] : node.attributes)
        if (attribute.g) deepest = std::max(deepest, height_of_calls(attribute.g->nodes));
    }
    return deepest;
  }
  void check_calls(size_t depth) const {
    WAFER_REQUIRE(depth < 64, model_.where, "functions nested too deeply");
  }

  std::map<Key, int> heights_;
  std::set<Key> callers_;
  const ModelDef& model_;
};
}  // namespace

void check(const ModelDef& model) {
  WAFER_REQUIRE(model.ir_version >= 1 && model.ir_version <= 13, model.where,
                "the file is of ONNX IR version ", model.ir_version, "; known are 3 to 13");
  WAFER_REQUIRE(!model.opsets.empty(), model.where, "the model imports no operator set");
  for (const auto& [domain, version] : model.opsets) {
    WAFER_REQUIRE(version >= 1 && version < 1000, model.where, "operator set ", version,
                  " of domain '", domain, "' is none that there is");
  }
  Checker checker(model);
  for (const auto& [key, function] : model.functions) checker.function(function);
  checker.graph(model.graph, nullptr, 0);
}

}  // namespace wafer::onnx
