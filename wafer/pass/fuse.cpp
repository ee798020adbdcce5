#include "wafer/pass/fuse.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/pass/value.h"

namespace wafer {

namespace {

// Groups stay small enough for the registers of every target.
constexpr size_t max_members = 48;
// Groups lie within a stretch of this many nodes, which bounds the table of ancestors.
constexpr size_t window = 8192;

using Bits = std::vector<uint64_t>;
bool test(const Bits& bits, size_t at) {
  return (bits[at / 64] >> (at % 64)) & 1u;
}
void set(Bits& bits, size_t at) {
  bits[at / 64] |= uint64_t{1} << (at % 64);
}
void add(Bits& bits, const Bits& other) {
  for (size_t i = 0; i < bits.size(); ++i) bits[i] |= other[i];
}

bool can_be_member(const Node& node) {
  return node.op->elementwise && node.outputs.size() == 1 && node.subgraphs.empty() &&
         node.outputs[0].shape.is_static();
}

// A broadcast, or a reshape by dimensions of 1: free as part of a group.
bool is_view(const Node& node) {
  if (!(node.is(op::broadcast_to) || node.is(op::reshape)) || !node.outputs[0].shape.is_static() ||
      !node.inputs[0].shape().is_static())
    return false;
  if (node.is(op::broadcast_to)) return true;
  auto others = [](const Shape& shape) {
    std::vector<int64_t> sizes = shape.sizes();
    std::erase(sizes, 1);
    return sizes;
  };
  return others(node.inputs[0].shape()) == others(node.outputs[0].shape);
}

// A slice that is read where it lies: of a source that is not much larger, which the reader keeps
// in memory as a whole.
bool is_slice(const Node& node) {
  if (!node.is(op::slice) || !node.inputs[0].shape().is_static()) return false;
  int64_t source = node.inputs[0].elements();
  // Addresses within the source must be those of an int on every target.
  return source <= 4 * node.outputs[0].elements() && source <= std::numeric_limits<int32_t>::max();
}

// The value that a chain of views shows: slices, or broadcasts, but not both. Narrowed and widened
// a source could have the shape of the group's results, which may be written over one that has, and
// yet show other elements.
const Tensor& behind_views(const Tensor& value) {
  const Tensor* at = &value;
  bool narrowed = false, widened = false;
  while (true) {
    const Node& node = at->node();
    bool narrows = is_slice(node), widens = node.is(op::broadcast_to);
    if (!(is_view(node) || narrows) || (narrows && widened) || (widens && narrowed)) return *at;
    narrowed = narrowed || narrows;
    widened = widened || widens;
    at = &node.inputs[0];
  }
}

bool is_scalar_constant(const Tensor& value) {
  return value.node().is(op::constant) && value.elements() == 1 &&
         small_constant(value.node(), 8).has_value();
}

// "a.b" of "a.b.c" and "a.b.d".
std::string common_path(const std::vector<const Node*>& nodes) {
  std::string common = nodes[0]->path;
  for (const Node* node : nodes) {
    while (!common.empty() && node->path != common &&
           node->path.compare(0, common.size() + 1, common + ".") != 0) {
      size_t dot = common.rfind('.');
      common.resize(dot == std::string::npos ? 0 : dot);
    }
  }
  return common.empty() ? nodes[0]->path : common;
}

// Puts the nodes of one stretch of the order into groups.
class Grouping {
 public:
  Grouping(const std::vector<const Node*>& order, size_t begin, size_t end)
      : order_(order), begin_(begin) {
    size_t count = end - begin;
    group_.resize(count);
    ancestors_.assign(count, Bits((count + 63) / 64));
    members_.resize(count);
    for (size_t i = 0; i < count; ++i) number_[order[begin + i]] = i;
    for (size_t i = 0; i < count; ++i) visit(i);
  }

  // Calls take(members, in order) for each group.
  template <class F>
  void for_each_group(F&& take) const {
    for (const auto& members : members_) {
      if (members.empty()) continue;
      std::vector<const Node*> nodes;
      for (size_t member : members) nodes.push_back(order_[begin_ + member]);
      take(std::move(nodes));
    }
  }

 private:
  const Node& node(size_t i) const { return *order_[begin_ + i]; }

  // The groups (or single nodes) that a node reads, those before the stretch left out.
  std::vector<size_t> predecessors(size_t i) const {
    std::vector<size_t> result;
    for (const Tensor& input : node(i).inputs) {
      auto found = number_.find(&input.node());
      if (found != number_.end()) result.push_back(group_[found->second]);
    }
    return result;
  }

  void visit(size_t i) {
    group_[i] = i;
    for (size_t predecessor : predecessors(i)) {
      add(ancestors_[i], ancestors_[predecessor]);
      set(ancestors_[i], predecessor);
    }
    if (!can_be_member(node(i))) return;
    members_[i] = {i};
    for (const Tensor& input : node(i).inputs) {
      auto found = number_.find(&input.node());
      if (found != number_.end()) try_merge(group_[found->second], i);
    }
    // A node that reads no group may join one that reads the same memory.
    for (const Tensor& input : node(i).inputs) {
      if (!(behind_views(input) == input) || is_scalar_constant(input)) continue;
      auto reader = readers_.find(&input.node());
      if (reader != readers_.end() && members_[group_[i]].size() == 1)
        try_merge(group_[reader->second], i);
      readers_[&input.node()] = i;
    }
  }

  bool same_space(size_t a, size_t b) const {
    const Type &x = node(a).outputs[0], &y = node(b).outputs[0];
    return x.shape == y.shape && x.layout == y.layout;
  }

  // True when a path leads from group `from` to group `to` through something else.
  bool has_detour(size_t from, size_t to) const {
    for (size_t member : members_[to]) {
      for (size_t predecessor : predecessors(member)) {
        if (predecessor != to && predecessor != from && test(ancestors_[predecessor], from))
          return true;
      }
    }
    return false;
  }

  // Joins the group of node i to `other` where that is legal.
  void try_merge(size_t other, size_t i) {
    size_t mine = group_[i];
    if (other == mine || members_[other].empty() || !same_space(members_[other][0], i)) return;
    if (members_[other].size() + members_[mine].size() > max_members) return;
    if (has_detour(other, mine) || has_detour(mine, other)) return;
    size_t kept = std::min(other, mine), gone = std::max(other, mine);
    Bits above = ancestors_[kept];
    add(above, ancestors_[gone]);
    above[kept / 64] &= ~(uint64_t{1} << (kept % 64));
    above[gone / 64] &= ~(uint64_t{1} << (gone % 64));
    ancestors_[kept] = above;
    for (size_t member : members_[gone]) group_[member] = kept;
    members_[kept].insert(members_[kept].end(), members_[gone].begin(), members_[gone].end());
    std::sort(members_[kept].begin(), members_[kept].end());
    members_[gone].clear();
    // Everything visited so far that comes after either now comes after both.
    set(above, kept);
    for (size_t n = kept + 1; n <= i; ++n) {
      if (group_[n] != n) continue;
      if (test(ancestors_[n], kept) || test(ancestors_[n], gone)) add(ancestors_[n], above);
    }
  }

  const std::vector<const Node*>& order_;
  size_t begin_;
  std::unordered_map<const Node*, size_t> number_;
  std::vector<size_t> group_;  // the group that a node is in: the number of its first member
  std::vector<Bits> ancestors_;
  std::vector<std::vector<size_t>> members_;  // empty for nodes that are not element-wise
  std::unordered_map<const Node*, size_t> readers_;
};

// Moves members to the group that alone reads them where less memory then crosses between groups:
// what the backward pass makes of a forward value is cheaper made again from that value than kept.
class Sinking {
 public:
  Sinking(const Graph& graph, const std::vector<const Node*>& order,
          std::vector<std::vector<const Node*>>& groups)
      : groups_(groups) {
    for (size_t i = 0; i < order.size(); ++i) {
      position_[order[i]] = i;
      for (const Tensor& input : order[i]->inputs) readers_[key(input)].push_back(order[i]);
    }
    for (const Tensor& output : graph.outputs) kept_.insert(key(output));
    for (size_t g = 0; g < groups.size(); ++g) {
      for (const Node* node : groups[g]) group_of_[node] = g;
    }
    for (size_t i = order.size(); i-- > 0;) {
      size_t target = only_reader(*order[i]);
      if (target == none) continue;
      if (!sink({order[i]}, target)) sink(serving(group_of(*order[i]), target), target);
    }
    for (auto& group : groups) {
      std::sort(group.begin(), group.end(),
                [&](const Node* a, const Node* b) { return position_.at(a) < position_.at(b); });
    }
    std::erase_if(groups, [](const auto& group) { return group.empty(); });
  }

 private:
  static constexpr size_t none = ~size_t{0};
  size_t group_of(const Node& node) const {
    auto found = group_of_.find(&node);
    return found == group_of_.end() ? none : found->second;
  }

  // The one other group that reads the node's value, or none.
  size_t only_reader(const Node& node) const {
    auto readers = readers_.find({&node, 0});
    if (kept_.count({&node, 0}) || readers == readers_.end()) return none;
    size_t home = group_of(node), target = group_of(*readers->second[0]);
    if (home == none) return none;
    for (const Node* reader : readers->second) {
      if (group_of(*reader) != target) return none;
    }
    return target == home ? none : target;
  }

  bool crosses(const Tensor& value) const {
    if (kept_.count(key(value))) return true;
    const auto& readers = readers_.at(key(value));
    size_t home = group_of(value.node());
    return std::any_of(readers.begin(), readers.end(),
                       [&](const Node* reader) { return group_of(*reader) != home; });
  }

  using Set = std::vector<const Node*>;
  static bool has(const Set& set, const Node* node) {
    return std::find(set.begin(), set.end(), node) != set.end();
  }

  // The members of `home` that nothing but group `target` needs, directly or through each other.
  Set serving(size_t home, size_t target) const {
    Set members = groups_[home], result;
    std::sort(members.begin(), members.end(),
              [&](const Node* a, const Node* b) { return position_.at(a) > position_.at(b); });
    for (const Node* member : members) {
      auto readers = readers_.find({member, 0});
      if (kept_.count({member, 0}) || readers == readers_.end()) continue;
      if (std::all_of(readers->second.begin(), readers->second.end(), [&](const Node* reader) {
            return group_of(*reader) == target || has(result, reader);
          })) {
        result.push_back(member);
      }
    }
    return result;
  }

  // True when a member of the group that is not in `except` reads the value, maybe through views.
  bool reads(size_t group, const Tensor& value, const Set& except) const {
    for (const Node* member : groups_[group]) {
      if (has(except, member)) continue;
      for (const Tensor& input : member->inputs) {
        if (behind_views(input) == value) return true;
      }
    }
    return false;
  }

  // Moves the nodes of one group to another if no more bytes are written and read across groups.
  bool sink(const Set& nodes, size_t target) {
    size_t home = group_of(*nodes[0]);
    if (groups_[target].size() + nodes.size() > max_members) return false;
    const Type &type = nodes[0]->outputs[0], &space = groups_[target][0]->outputs[0];
    if (!(type.shape == space.shape && type.layout == space.layout)) return false;
    size_t saved = 0, added = 0;
    std::vector<Tensor> sources;
    for (const Node* node : nodes) {
      const auto& readers = readers_.at({node, 0});
      bool leaves = std::any_of(readers.begin(), readers.end(),
                                [&](const Node* reader) { return group_of(*reader) == target; });
      if (leaves) saved += 2 * node->outputs[0].bytes();
      for (const Tensor& input : node->inputs) {
        const Tensor& source = behind_views(input);
        if (is_scalar_constant(source) || has(nodes, &source.node())) continue;
        if (std::find(sources.begin(), sources.end(), source) == sources.end())
          sources.push_back(source);
      }
    }
    for (const Tensor& source : sources) {
      size_t bytes = source.type().bytes();
      bool internal = group_of(source.node()) == home;
      if (!internal && !reads(home, source, nodes)) saved += bytes;
      if (reads(target, source, {})) continue;
      added += internal && !crosses(source) ? 2 * bytes : bytes;
    }
    if (added > saved) return false;
    for (const Node* node : nodes) {
      std::erase(groups_[home], node);
      groups_[target].push_back(node);
      group_of_[node] = target;
    }
    return true;
  }

  std::vector<std::vector<const Node*>>& groups_;
  std::unordered_map<const Node*, size_t> position_, group_of_;
  std::map<Value, std::vector<const Node*>> readers_;
  std::set<Value> kept_;
};

// Builds the graph with each group replaced by one node.
class Rebuild {
 public:
  Rebuild(const Graph& graph, const std::vector<const Node*>& order,
          std::vector<std::vector<const Node*>> groups)
      : graph_(graph), groups_(std::move(groups)) {
    for (size_t g = 0; g < groups_.size(); ++g) {
      for (const Node* node : groups_[g]) group_of_[node] = g;
    }
    auto remember = [&](const Tensor& value) { handle_.emplace(&value.node(), value); };
    for (const Tensor& output : graph.outputs) {
      remember(output);
      read_outside_[key(output)] = true;
    }
    for (const Node* node : order) {
      for (const Tensor& input : node->inputs) {
        remember(input);
        if (!same_group(input.node(), *node)) read_outside_[key(input)] = true;
      }
    }
    for (const Tensor& input : graph.inputs) done_[&input.node()] = {input};
  }

  Graph run() {
    Graph result;
    result.inputs = graph_.inputs;
    result.alias = graph_.alias;
    for (const Tensor& output : graph_.outputs) make(output.node());
    for (const Tensor& output : graph_.outputs) result.outputs.push_back(replaced(output));
    return result;
  }

 private:
  bool same_group(const Node& a, const Node& b) const {
    auto x = group_of_.find(&a), y = group_of_.find(&b);
    return x != group_of_.end() && y != group_of_.end() && x->second == y->second;
  }

  Tensor replaced(const Tensor& value) const {
    return done_.at(&value.node()).at(static_cast<size_t>(value.index()));
  }

  // The values from outside that a node, or the group that it is in, reads.
  std::vector<Tensor> reads(const Node& node) const {
    auto found = group_of_.find(&node);
    if (found == group_of_.end()) return node.inputs;
    std::vector<Tensor> result;
    for (const Node* member : groups_[found->second]) {
      for (const Tensor& input : member->inputs) {
        const Tensor& source = behind_views(input);
        if (same_group(source.node(), *member) || is_scalar_constant(source)) continue;
        if (std::find(result.begin(), result.end(), source) == result.end())
          result.push_back(source);
      }
    }
    return result;
  }

  // Makes the node and all it needs, without recursion: graphs may be deep.
  void make(const Node& last) {
    std::vector<const Node*> stack = {&last};
    std::unordered_set<const Node*> opened;
    while (!stack.empty()) {
      const Node* node = stack.back();
      if (done_.count(node)) {
        stack.pop_back();
        continue;
      }
      std::vector<Tensor> inputs = reads(*node);
      bool ready = true;
      for (const Tensor& input : inputs) {
        if (done_.count(&input.node())) continue;
        ready = false;
        stack.push_back(&input.node());
      }
      if (!ready) {
        WAFER_CHECK(opened.insert(node).second, "groups of element-wise ops wait for each other");
        continue;
      }
      stack.pop_back();
      auto group = group_of_.find(node);
      if (group == group_of_.end())
        copy(*node);
      else
        make_group(groups_[group->second], inputs);
    }
  }

  void copy(const Node& node) {
    std::vector<Tensor> inputs;
    bool changed = false;
    for (const Tensor& input : node.inputs) {
      inputs.push_back(replaced(input));
      changed = changed || !(inputs.back() == input);
    }
    if (changed) {
      done_[&node] = clone_node(node, std::move(inputs), node.outputs);
      return;
    }
    const auto& pointer = handle_.at(&node).node_pointer();
    std::vector<Tensor>& outputs = done_[&node];
    for (size_t i = 0; i < node.outputs.size(); ++i)
      outputs.emplace_back(pointer, static_cast<int>(i));
  }

  // The views and constants that feed a member, copied into the group.
  static Tensor inside(const Tensor& value, std::map<Value, Tensor>& inner) {
    auto found = inner.find(key(value));
    if (found != inner.end()) return found->second;
    if (is_scalar_constant(value)) return inner[key(value)] = value;
    Tensor source = inside(value.node().inputs[0], inner);
    return inner[key(value)] = clone_node(value.node(), {source}, value.node().outputs)[0];
  }

  void make_group(const std::vector<const Node*>& members, const std::vector<Tensor>& inputs) {
    Graph group;
    std::map<Value, Tensor> inner;
    std::vector<Tensor> arguments;
    for (const Tensor& input : inputs) {
      Tensor placeholder = make_input(input.type(), str("x", group.inputs.size()));
      inner[key(input)] = placeholder;
      group.inputs.push_back(placeholder);
      arguments.push_back(replaced(input));
    }
    std::vector<const Node*> results;
    for (const Node* member : members) {
      std::vector<Tensor> operands;
      for (const Tensor& input : member->inputs) operands.push_back(inside(input, inner));
      Tensor value = clone_node(*member, std::move(operands), member->outputs)[0];
      inner[{member, 0}] = value;
      if (!read_outside_.count({member, 0})) continue;
      group.outputs.push_back(value);
      results.push_back(member);
    }
    PathScope scope = PathScope::whole(common_path(members));
    std::vector<Tensor> outputs =
        fuse(std::make_shared<const Graph>(std::move(group)), std::move(arguments));
    // Members that are read inside alone stand for nothing, but count as done.
    for (const Node* member : members) done_[member];
    for (size_t i = 0; i < results.size(); ++i) done_[results[i]] = {outputs[i]};
  }

  const Graph& graph_;
  std::vector<std::vector<const Node*>> groups_;
  std::unordered_map<const Node*, size_t> group_of_;
  std::unordered_map<const Node*, Tensor> handle_;
  std::map<Value, bool> read_outside_;
  std::unordered_map<const Node*, std::vector<Tensor>> done_;
};

// A group of one is worth a node of its own where it saves a broadcast.
bool is_worthwhile(const std::vector<const Node*>& members) {
  if (members.size() > 1) return true;
  const auto& inputs = members[0]->inputs;
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const Tensor& input) { return !(behind_views(input) == input); });
}
}  // namespace

Graph fuse_elementwise(const Graph& graph) {
  std::vector<const Node*> order = topological_order(graph);
  std::vector<std::vector<const Node*>> groups;
  for (size_t begin = 0; begin < order.size(); begin += window) {
    Grouping grouping(order, begin, std::min(begin + window, order.size()));
    grouping.for_each_group(
        [&](std::vector<const Node*> members) { groups.push_back(std::move(members)); });
  }
  Sinking(graph, order, groups);
  std::erase_if(groups, [](const auto& members) { return !is_worthwhile(members); });
  if (groups.empty()) return graph;
  return Rebuild(graph, order, std::move(groups)).run();
}

}  // namespace wafer
