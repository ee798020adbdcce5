#include "wafer/pass/host/host_program.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/pass/epilogue.h"
#include "wafer/pass/host/control_flow.h"

namespace wafer {

// Decides where every value lies. Values that share memory (a reshape and its input, an
// element-wise result in place of its operand) form one root.
class HostProgram::Planner {
 public:
  explicit Planner(const Graph& graph) : graph_(graph) {
    number_values();
    merge_views();
    find_lifetimes();
    place_outputs();
    merge_in_place();
  }

  // Node order without leaves and views: the steps.
  const std::vector<const Node*>& steps() const { return steps_; }

  // Offsets once scratch sizes are known. Returns the arena's bytes.
  size_t place_in_arena(const std::vector<size_t>& scratch, MemoryPlan& memory) {
    std::vector<MemoryBlock> blocks;
    std::vector<size_t> owner;
    for (size_t value = 0; value < values_.size(); ++value) {
      if (find(value) != value || roots_[value].place != Place::arena) continue;
      blocks.push_back({roots_[value].bytes, roots_[value].first, roots_[value].last});
      owner.push_back(value);
    }
    size_t values = blocks.size();
    for (size_t step = 0; step < scratch.size(); ++step)
      blocks.push_back({scratch[step], step + 1, step + 1});
    for (const MemoryBlock& block : blocks) memory.unshared += block.bytes;
    size_t bytes = plan_offsets(blocks);
    for (size_t i = 0; i < values; ++i) roots_[owner[i]].at = blocks[i].offset;
    for (size_t step = 0; step < scratch.size(); ++step)
      scratch_offsets_.push_back(blocks[values + step].offset);
    return bytes;
  }

  size_t scratch_offset(size_t step) const { return scratch_offsets_[step]; }

  Location location(const Tensor& value) { return location_of_root(find(id(value))); }
  Location location(const Node& node, int index) { return location_of_root(find(id(node, index))); }
  bool used(const Node& node, int index) const { return used_[id(node, index)]; }

  // Outputs that could not be computed in place of their destination.
  void plan_copies(std::vector<Copy>& before, std::vector<Copy>& after) {
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      Location to = destination(i);
      size_t root = find(id(graph_.outputs[i]));
      Location from = location_of_root(root);
      if (from.place == to.place && from.at == to.at) continue;
      // An input that another output takes over must be saved before the first step.
      bool from_donated = from.place == Place::input && donated(from.at);
      (from_donated ? before : after).push_back({from, to, graph_.outputs[i].type().bytes()});
    }
    WAFER_CHECK(std::none_of(before.begin(), before.end(),
                             [](const Copy& c) { return c.to.place == Place::input; }),
                "an input cannot move to another input's buffer");
  }

 private:
  struct Root {
    Place place = Place::arena;
    size_t at = 0;
    void* constant = nullptr;
    size_t bytes = 0;
    size_t first = 0,
           last = 0;  // steps count from 1; 0 is before the first, steps + 1 after the last
  };

  size_t id(const Tensor& value) const { return id(value.node(), value.index()); }
  size_t id(const Node& node, int index) const {
    return first_value_.at(&node) + static_cast<size_t>(index);
  }

  size_t find(size_t value) {
    while (parent_[value] != value) value = parent_[value] = parent_[parent_[value]];
    return value;
  }

  bool donated(size_t input) const {
    return std::find(graph_.alias.begin(), graph_.alias.end(), static_cast<int>(input)) !=
           graph_.alias.end();
  }

  Location destination(size_t output) const {
    int input = graph_.alias_of(output);
    if (input >= 0) return {Place::input, static_cast<size_t>(input), nullptr};
    return {Place::output, output, nullptr};
  }

  Location location_of_root(size_t root) const {
    return {roots_[root].place, roots_[root].at, roots_[root].constant};
  }

  static bool is_view(const Node& node) {
    return node.is(op::reshape) && node.outputs[0].layout == Layout::row_major &&
           node.inputs[0].type().layout == Layout::row_major;
  }

  void number_values() {
    for (const Node* node : topological_order(graph_)) {
      first_value_[node] = values_.size();
      for (size_t i = 0; i < node->outputs.size(); ++i) {
        values_.push_back(node);
        parent_.push_back(parent_.size());
        Root root;
        root.bytes = node->outputs[i].bytes();
        roots_.push_back(root);
      }
      bool leaf = node->is(op::input) || node->is(op::constant);
      if (!leaf && !is_view(*node)) steps_.push_back(node);
      if (node->is(op::constant)) {
        Root& root = roots_.back();
        root.place = Place::constant;
        root.constant = node->values[0]->data();
      }
      if (is_view(*node)) views_.push_back(node);
    }
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      Root& root = roots_[id(graph_.inputs[i])];
      root.place = Place::input;
      root.at = i;
    }
  }

  void merge_views() {
    for (const Node* node : views_) parent_[id(*node, 0)] = find(id(node->inputs[0]));
  }

  void find_lifetimes() {
    for (size_t step = 0; step < steps_.size(); ++step) {
      const Node* node = steps_[step];
      for (const Tensor& input : node->inputs) {
        Root& root = roots_[find(id(input))];
        root.last = std::max(root.last, step + 1);
      }
      for (size_t i = 0; i < node->outputs.size(); ++i) {
        Root& root = roots_[find(id(*node, static_cast<int>(i)))];
        root.first = step + 1;
        definition_[find(id(*node, static_cast<int>(i)))] = step + 1;
      }
    }
    for (const Tensor& output : graph_.outputs) roots_[find(id(output))].last = steps_.size() + 1;

    used_.resize(values_.size());
    for (const Tensor& output : graph_.outputs) used_[id(output)] = true;
    for (const Node* node : topological_order(graph_)) {
      for (const Tensor& input : node->inputs) used_[id(input)] = true;
    }
    for (size_t value = 0; value < values_.size(); ++value) {
      if (!used_[value] && find(value) == value) roots_[value].bytes = 0;
    }
  }

  // An element-wise step may write over an operand that it reads at the same place. Of several
  // groups in a step another one may read it later.
  static bool may_overwrite(const Node& node, size_t output_index, size_t input_index) {
    const Type &output = node.outputs[output_index], &input = node.inputs[input_index].type();
    bool elementwise =
        node.op->elementwise || (node.is(op::fused) && !contraction_group(node).has_value());
    return elementwise && input.shape == output.shape && input.layout == output.layout &&
           bits(input.dtype) == bits(output.dtype) &&
           (node.subgraphs.size() < 2 || in_one_group(node, output_index, input_index));
  }
  static bool in_one_group(const Node& node, size_t output_index, size_t input_index) {
    auto groups = groups_of(node);
    auto last = std::find_if(groups.rbegin(), groups.rend(), [&](const FusedGroup& group) {
      return group.first_output <= output_index;
    });
    return last->first_input <= input_index &&
           input_index < last->first_input + last->graph->inputs.size();
  }

  bool may_take_over_input(size_t root, size_t input) {
    size_t input_root = find(id(graph_.inputs[input]));
    for (const Tensor& output : graph_.outputs) {
      if (find(id(output)) == input_root) return false;
    }
    size_t defined = definition_.at(root);
    size_t last_read = roots_[input_root].last;
    if (last_read < defined) return true;
    if (last_read > defined) return false;
    const Node& node = *steps_[defined - 1];
    // Read in the defining step: only where that step reads it element by element.
    size_t output = root - first_value_.at(&node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (find(id(node.inputs[i])) == input_root && !may_overwrite(node, output, i)) return false;
    }
    return true;
  }

  void place_outputs() {
    std::vector<bool> taken(graph_.inputs.size());
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      size_t root = find(id(graph_.outputs[i]));
      Root& r = roots_[root];
      if (r.place != Place::arena || !definition_.count(root)) continue;
      Location to = destination(i);
      if (to.place == Place::input) {
        if (taken[to.at] || !may_take_over_input(root, to.at)) continue;
        taken[to.at] = true;
      }
      r.place = to.place;
      r.at = to.at;
    }
  }

  void merge_in_place() {
    for (size_t step = 0; step < steps_.size(); ++step) {
      const Node* node = steps_[step];
      std::vector<size_t> taken;
      for (size_t i = 0; i < node->outputs.size(); ++i) {
        size_t mine = find(id(*node, static_cast<int>(i)));
        if (roots_[mine].place != Place::arena) continue;
        for (const Tensor& input : node->inputs) {
          size_t theirs = find(id(input));
          bool dies = roots_[theirs].place == Place::arena && roots_[theirs].last == step + 1;
          bool free = std::find(taken.begin(), taken.end(), theirs) == taken.end();
          // Every read of that memory in this step must be element by element.
          bool safe = true;
          for (size_t other = 0; other < node->inputs.size(); ++other) {
            safe =
                safe && (find(id(node->inputs[other])) != theirs || may_overwrite(*node, i, other));
          }
          if (!dies || !free || !safe || theirs == mine) continue;
          roots_[theirs].last = std::max(roots_[theirs].last, roots_[mine].last);
          parent_[mine] = theirs;
          taken.push_back(theirs);
          break;
        }
      }
    }
    for (Root& root : roots_) root.last = std::max(root.last, root.first);
  }

  const Graph& graph_;
  std::vector<const Node*> steps_, views_;
  std::unordered_map<const Node*, size_t> first_value_;
  std::vector<const Node*> values_;  // the node of each value
  std::vector<size_t> parent_;
  std::vector<Root> roots_;
  std::vector<bool> used_;
  std::unordered_map<size_t, size_t> definition_;  // root -> the step that makes it
  std::vector<size_t> scratch_offsets_;
};

std::shared_ptr<HostProgram> make_host_program(Graph graph, const Target& target,
                                               const KernelLookup& lookup, const StepMemory& memory,
                                               KernelSession* session, size_t lasting_inputs) {
  auto program = std::make_shared<HostProgram>();
  program->memory_ = &memory;
  program->graph_ = std::move(graph);
  const Graph& g = program->graph_;
  for (const Tensor& input : g.inputs) {
    program->inputs.push_back(input.type());
    program->memory.inputs += input.type().bytes();
  }
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    program->outputs.push_back(g.outputs[i].type());
    program->alias.push_back(g.alias_of(i));
    if (g.alias_of(i) < 0) program->memory.outputs += g.outputs[i].type().bytes();
  }

  HostProgram::Planner planner(g);
  WAFER_CHECK(lasting_inputs <= g.inputs.size(), "more lasting inputs than there are");
  size_t first_lasting = g.inputs.size() - lasting_inputs;
  auto lasts = [&](const Tensor& value) {
    HostProgram::Location location = planner.location(value);
    return location.place == HostProgram::Place::input && location.at >= first_lasting;
  };
  Scratch prepared;
  std::vector<size_t> scratch;
  for (const Node* node : planner.steps()) {
    HostProgram::PlannedStep planned;
    planned.node = node;
    KernelContext context{.target = target,
                          .output_used = {},
                          .scratch_bytes = 0,
                          .kernel = "own",
                          .memory = memory,
                          .session = session};
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      context.output_used.push_back(planner.used(*node, static_cast<int>(i)));
    }
    for (const Tensor& input : node->inputs) context.lasting.push_back(lasts(input));
    MakeKernel kernel = lookup(*node->op);
    if (!kernel) kernel = control_flow_kernel(*node->op);
    WAFER_CHECK(kernel != nullptr, "target ", target.name(), " has no kernel for ", node->op->name);
    planned.step = kernel(*node, context);
    if (context.preparation.step) {
      planned.preparation = std::move(context.preparation.step);
      planned.prepared = prepared.reserve(context.preparation.bytes);
    }
    scratch.push_back(context.scratch_bytes);
    program->memory.kept = std::max(program->memory.kept, context.kept_bytes);
    program->memory.constants += context.constant_bytes;
    program->steps.push_back({node->op->name, node->path, context.kernel, cost(*node), node});
    program->planned_.push_back(std::move(planned));
  }
  program->prepared_bytes_ = prepared.total();
  program->memory.arena = planner.place_in_arena(scratch, program->memory);
  for (const Node* node : topological_order(g)) {
    if (!node->is(op::constant)) continue;
    WAFER_CHECK(node->values[0]->on_host() == memory.on_host(), "a constant of another device");
    program->memory.constants += node->outputs[0].bytes();
  }
  for (size_t s = 0; s < program->planned_.size(); ++s) {
    auto& planned = program->planned_[s];
    for (const Tensor& input : planned.node->inputs) planned.in.push_back(planner.location(input));
    for (size_t i = 0; i < planned.node->outputs.size(); ++i) {
      bool used = planner.used(*planned.node, static_cast<int>(i));
      planned.out.push_back(used ? planner.location(*planned.node, static_cast<int>(i))
                                 : HostProgram::Location{});
    }
    planned.scratch = {HostProgram::Place::arena, planner.scratch_offset(s), nullptr};
  }
  planner.plan_copies(program->copies_before_, program->copies_after_);
  return program;
}

void* HostProgram::address(const Location& location, void* const* inputs, void* const* outputs,
                           std::byte* arena) const {
  switch (location.place) {
    case Place::none: return nullptr;
    case Place::input: return inputs[location.at];
    case Place::output: return outputs[location.at];
    case Place::arena: return arena + location.at;
    case Place::constant: return location.constant;
  }
  return nullptr;
}

void HostProgram::prepare(void* const* inputs, std::byte* prepared) const {
  std::vector<void*> in;
  for (const PlannedStep& planned : planned_) {
    if (!planned.preparation) continue;
    in.clear();
    for (const Location& location : planned.in) {
      bool is_input = location.place == Place::input;
      in.push_back(is_input ? inputs[location.at] : nullptr);
    }
    planned.preparation({in.data(), nullptr, nullptr, prepared + planned.prepared});
  }
}

void HostProgram::run(void* const* inputs, void* const* outputs, std::byte* arena,
                      const RunObserver* observer, std::byte* prepared) const {
  WAFER_CHECK(prepared != nullptr || prepared_bytes_ == 0, "a program was not prepared");
  auto at = [&](const Location& location) { return address(location, inputs, outputs, arena); };
  auto copy = [&](const Copy& c) {
    if (c.bytes > 0) memory_->copy(at(c.to), at(c.from), c.bytes);
  };
  if (observer) memory_->finish_step();
  for (const Copy& c : copies_before_) copy(c);
  std::vector<void*> in, out;
  for (size_t s = 0; s < planned_.size(); ++s) {
    const PlannedStep& planned = planned_[s];
    in.clear();
    out.clear();
    for (const Location& location : planned.in) in.push_back(at(location));
    for (const Location& location : planned.out) out.push_back(at(location));
    StepArgs args{in.data(), out.data(), static_cast<std::byte*>(at(planned.scratch)),
                  planned.preparation ? prepared + planned.prepared : nullptr};
    if (observer)
      observed(s, args, *observer);
    else
      planned.step(args);
  }
  for (const Copy& c : copies_after_) copy(c);
}

void HostProgram::observed(size_t step, const StepArgs& args, const RunObserver& observer) const {
  const PlannedStep& planned = planned_[step];
  auto start = std::chrono::steady_clock::now();
  planned.step(args);
  std::optional<double> measured = memory_->finish_step();
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::vector<std::byte> staged;
  auto output = [&](size_t index) -> const void* {
    if (memory_->on_host() || !args.out[index]) return args.out[index];
    staged.resize(planned.node->outputs[index].bytes());
    memory_->read(staged.data(), args.out[index], staged.size());
    return staged.data();
  };
  observer({step, measured.value_or(seconds), *planned.node, output});
}

std::shared_ptr<const Artifact> compile_for_host(const Graph& graph, const Target& target,
                                                 const LowerOptions& options,
                                                 const KernelLookup& lookup,
                                                 size_t lasting_inputs) {
  auto start = std::chrono::steady_clock::now();
  auto program = make_host_program(lower(graph, target, options), target, lookup, host_memory(),
                                   nullptr, lasting_inputs);
  program->compile_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return program;
}

Support host_support(const Node& node, const KernelLookup& lookup) {
  if (!lookup(*node.op) && !control_flow_kernel(*node.op)) return {false, "it has no kernel"};
  for (const Type& type : node.outputs) {
    if (type.dtype > DType::boolean) return {false, str("no op computes in ", type.dtype)};
  }
  return {};
}

}  // namespace wafer
