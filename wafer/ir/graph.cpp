#include "wafer/ir/graph.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

namespace wafer {

std::vector<const Node*> topological_order(const std::vector<Tensor>& outputs) {
  std::vector<const Node*> order;
  std::unordered_set<const Node*> done, opened;
  std::vector<const Node*> stack;
  for (const Tensor& output : outputs) {
    stack.push_back(&output.node());
    while (!stack.empty()) {
      const Node* node = stack.back();
      if (done.count(node)) {
        stack.pop_back();
      } else if (opened.insert(node).second) {
        for (auto input = node->inputs.rbegin(); input != node->inputs.rend(); ++input) {
          if (!done.count(&input->node())) stack.push_back(&input->node());
        }
      } else {
        stack.pop_back();
        done.insert(node);
        order.push_back(node);
      }
    }
  }
  return order;
}

std::vector<const Node*> topological_order(const Graph& graph) {
  std::vector<Tensor> roots = graph.inputs;
  roots.insert(roots.end(), graph.outputs.begin(), graph.outputs.end());
  return topological_order(roots);
}

std::optional<std::span<const std::byte>> small_constant(const Node& node, size_t limit) {
  if (!node.is(op::constant) || node.values.empty() || !node.values[0]->on_host())
    return std::nullopt;
  size_t bytes = node.outputs[0].bytes();
  if (bytes > limit) return std::nullopt;
  return std::span(static_cast<const std::byte*>(node.values[0]->data()), bytes);
}

namespace {
std::string scalar_text(const Type& type, std::span<const std::byte> bytes) {
  return visit(type.dtype, [&]<class T>(std::type_identity<T>) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    if constexpr (sizeof(T) == 1)
      return std::to_string(static_cast<int>(value));
    else
      return str(value);
  });
}

void print_into(const Graph& graph, const std::string& indent, std::string& text) {
  std::unordered_map<const Node*, size_t> number;
  auto value_text = [&](const Tensor& value) {
    std::string name = str("%", number.at(&value.node()));
    return value.node().outputs.size() > 1 ? str(name, ".", value.index()) : name;
  };
  for (const Node* node : topological_order(graph)) {
    size_t id = number.size();
    number[node] = id;
    text += str(indent, "%", id, " = ", node->op->name, "(");
    for (size_t i = 0; i < node->inputs.size(); ++i)
      text += (i ? ", " : "") + value_text(node->inputs[i]);
    text += ")";
    if (auto bytes = small_constant(*node, 8); bytes && node->outputs[0].shape.rank() == 0) {
      text += " {" + scalar_text(node->outputs[0], *bytes) + "}";
    }
    if (!node->attrs.list().empty()) text += " {" + node->attrs.text() + "}";
    text += " :";
    for (const Type& type : node->outputs) text += str(" ", type);
    if (!node->path.empty()) text += "  // " + node->path;
    text += "\n";
    for (const auto& subgraph : node->subgraphs) print_into(*subgraph, indent + "    ", text);
  }
  text += indent + "return";
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    text += (i ? ", " : " ") + value_text(graph.outputs[i]);
    if (graph.alias_of(i) >= 0) text += str(" (in place of input ", graph.alias_of(i), ")");
  }
  text += "\n";
}
}  // namespace

std::string print(const Graph& graph) {
  std::string text;
  print_into(graph, "", text);
  return text;
}

void verify(const Graph& graph) {
  std::unordered_set<const Node*> listed;
  for (const Tensor& input : graph.inputs) {
    WAFER_CHECK(input && input.node().is(op::input), "a graph's input is not an input node");
    WAFER_CHECK(listed.insert(&input.node()).second, "an input is listed twice");
  }
  for (const Node* node : topological_order(graph)) {
    if (node->is(op::input)) {
      WAFER_CHECK(listed.count(node), "input '", node->attr<InputAttrs>().name,
                  "' is used but not listed");
      continue;
    }
    if (node->is(op::constant)) {
      WAFER_CHECK(!node->values.empty() && node->values[0], "a constant without a value");
      continue;
    }
    for (const Tensor& input : node->inputs) {
      WAFER_CHECK(static_cast<size_t>(input.index()) < input.node().outputs.size(), node->op->name,
                  " reads an output that is not there");
    }
    std::vector<Type> inferred = node->op->infer({node->inputs, node->attrs, node->subgraphs});
    WAFER_CHECK(inferred.size() == node->outputs.size(), node->op->name,
                ": wrong number of outputs");
    for (size_t i = 0; i < inferred.size(); ++i) {
      inferred[i].layout = node->outputs[i].layout;
      WAFER_CHECK(inferred[i] == node->outputs[i], node->op->name, " output ", i, " is ",
                  node->outputs[i], " where infer gives ", inferred[i]);
    }
    for (const auto& subgraph : node->subgraphs) verify(*subgraph);
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    int input = graph.alias_of(i);
    if (input < 0) continue;
    WAFER_CHECK(static_cast<size_t>(input) < graph.inputs.size() &&
                    graph.inputs[static_cast<size_t>(input)].type() == graph.outputs[i].type(),
                "output ", i, " of type ", graph.outputs[i].type(), " cannot take over input ",
                input);
  }
}

namespace {
void mix(size_t& seed, size_t value) {
  seed ^= value + 0x9e3779b97f4a7c15u + (seed << 6) + (seed >> 2);
}
void mix(size_t& seed, const std::string& text) {
  mix(seed, std::hash<std::string>{}(text));
}

// Numbers nodes by their place in the order so that equal graphs compare and hash equal.
std::unordered_map<const Node*, size_t> numbering(const std::vector<const Node*>& order) {
  std::unordered_map<const Node*, size_t> number;
  for (const Node* node : order) number.emplace(node, number.size());
  return number;
}
}  // namespace

size_t hash(const Graph& graph) {
  auto order = topological_order(graph);
  auto number = numbering(order);
  size_t seed = graph.inputs.size();
  for (const Node* node : order) {
    mix(seed, node->op->name);
    if (!node->is(op::input)) mix(seed, node->attrs.hash());
    for (const Type& type : node->outputs) mix(seed, str(type));
    for (const Tensor& input : node->inputs) {
      mix(seed, number.at(&input.node()) * 16 + static_cast<size_t>(input.index()));
    }
    if (auto bytes = small_constant(*node)) {
      mix(seed, std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()));
    } else if (node->is(op::constant)) {
      mix(seed, reinterpret_cast<size_t>(node->values[0].get()));
    }
    for (const auto& subgraph : node->subgraphs) mix(seed, hash(*subgraph));
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    mix(seed,
        number.at(&graph.outputs[i].node()) * 16 + static_cast<size_t>(graph.outputs[i].index()));
    mix(seed, static_cast<size_t>(graph.alias_of(i) + 1));
  }
  return seed;
}

bool structurally_equal(const Graph& a, const Graph& b) {
  auto order_a = topological_order(a), order_b = topological_order(b);
  if (order_a.size() != order_b.size() || a.outputs.size() != b.outputs.size() ||
      a.inputs.size() != b.inputs.size()) {
    return false;
  }
  auto number_a = numbering(order_a), number_b = numbering(order_b);
  auto same_value = [&](const Tensor& x, const Tensor& y) {
    return number_a.at(&x.node()) == number_b.at(&y.node()) && x.index() == y.index();
  };
  for (size_t i = 0; i < order_a.size(); ++i) {
    const Node &x = *order_a[i], &y = *order_b[i];
    if (x.op != y.op || x.outputs != y.outputs || x.inputs.size() != y.inputs.size() ||
        x.subgraphs.size() != y.subgraphs.size()) {
      return false;
    }
    if (!x.is(op::input) && !(x.attrs == y.attrs)) return false;
    if (!std::equal(x.inputs.begin(), x.inputs.end(), y.inputs.begin(), same_value)) return false;
    if (x.is(op::constant) && x.values[0] != y.values[0]) {
      auto left = small_constant(x), right = small_constant(y);
      if (!left || !right ||
          !std::equal(left->begin(), left->end(), right->begin(), right->end())) {
        return false;
      }
    }
    for (size_t s = 0; s < x.subgraphs.size(); ++s) {
      if (x.subgraphs[s] != y.subgraphs[s] &&
          !structurally_equal(*x.subgraphs[s], *y.subgraphs[s])) {
        return false;
      }
    }
  }
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    if (!same_value(a.outputs[i], b.outputs[i]) || a.alias_of(i) != b.alias_of(i)) return false;
  }
  return true;
}

namespace {
// Where each old node's outputs went.
using Replacements = std::unordered_map<const Node*, std::vector<Tensor>>;

Tensor replaced(const Replacements& map, const Tensor& value) {
  return map.at(&value.node()).at(static_cast<size_t>(value.index()));
}

std::vector<Tensor> outputs_of(const Tensor& any_output) {
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < any_output.node().outputs.size(); ++i) {
    outputs.emplace_back(any_output.node_pointer(), static_cast<int>(i));
  }
  return outputs;
}

// Shared by rewrite and inline_graph: `replacements` already holds the inputs.
void rewrite_nodes(const Graph& graph, const RewriteRule& rule, Replacements& replacements) {
  std::unordered_map<const Node*, Tensor> handle;
  auto order = topological_order(graph);
  auto remember = [&](const Tensor& value) { handle.emplace(&value.node(), value); };
  for (const Tensor& output : graph.outputs) remember(output);
  for (const Node* node : order) {
    for (const Tensor& input : node->inputs) remember(input);
  }
  for (const Node* node : order) {
    if (replacements.count(node)) continue;
    std::vector<Tensor> inputs;
    bool changed = false;
    for (const Tensor& input : node->inputs) {
      inputs.push_back(replaced(replacements, input));
      changed = changed || !(inputs.back() == input);
    }
    PathScope scope = PathScope::whole(node->path);
    std::optional<std::vector<Tensor>> outputs = rule ? rule(*node, inputs) : std::nullopt;
    if (!outputs && !changed) outputs = outputs_of(handle.at(node));
    if (!outputs) {
      // Layouts are physical and not inferred, so a copy keeps them.
      std::vector<Type> types = node->op->infer({inputs, node->attrs, node->subgraphs});
      for (size_t i = 0; i < types.size(); ++i) types[i].layout = node->outputs[i].layout;
      outputs = clone_node(*node, std::move(inputs), std::move(types));
    }
    WAFER_CHECK(outputs->size() == node->outputs.size(), "a rewrite of ", node->op->name,
                " gave another number of outputs");
    replacements.emplace(node, std::move(*outputs));
  }
}
}  // namespace

Graph rewrite(const Graph& graph, const RewriteRule& rule) {
  Replacements replacements;
  Graph result;
  result.alias = graph.alias;
  for (const Tensor& input : graph.inputs) {
    std::optional<std::vector<Tensor>> outputs;
    if (rule) outputs = rule(input.node(), {});
    replacements[&input.node()] = outputs ? *outputs : std::vector<Tensor>{input};
    result.inputs.push_back(replacements[&input.node()][0]);
  }
  rewrite_nodes(graph, rule, replacements);
  for (const Tensor& output : graph.outputs)
    result.outputs.push_back(replaced(replacements, output));
  return result;
}

std::vector<Tensor> inline_graph(const Graph& graph, const std::vector<Tensor>& arguments) {
  WAFER_CHECK(arguments.size() == graph.inputs.size(), "inline_graph: ", arguments.size(),
              " arguments for ", graph.inputs.size(), " inputs");
  Replacements replacements;
  for (size_t i = 0; i < arguments.size(); ++i) {
    replacements[&graph.inputs[i].node()] = {arguments[i]};
  }
  rewrite_nodes(graph, nullptr, replacements);
  std::vector<Tensor> outputs;
  for (const Tensor& output : graph.outputs) outputs.push_back(replaced(replacements, output));
  return outputs;
}

}  // namespace wafer
