#include "wafer/pass/host/control_flow.h"

#include <algorithm>
#include <optional>

#include "wafer/base/threads.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/pass/host/host_program.h"

namespace wafer {

namespace {

std::shared_ptr<const HostProgram> compile_subgraph(const Graph& graph,
                                                    const KernelContext& context,
                                                    size_t lasting_inputs = 0) {
  auto program = std::dynamic_pointer_cast<const HostProgram>(
      context.target.compile(graph, {.lasting_inputs = lasting_inputs}));
  WAFER_CHECK(program != nullptr, "a host backend's subgraph is not a host program");
  return program;
}

// Two buffers for each carried value, used in turn.
struct Carried {
  std::vector<size_t> bytes;
  std::vector<size_t> offsets[2];

  Carried(const std::vector<Type>& types, Scratch& scratch) {
    for (const Type& type : types) {
      bytes.push_back(type.bytes());
      offsets[0].push_back(scratch.reserve(type.bytes()));
      offsets[1].push_back(scratch.reserve(type.bytes()));
    }
  }
  size_t size() const { return bytes.size(); }
};

void copy_bytes(const StepMemory& memory, void* to, const void* from, size_t bytes) {
  if (to != nullptr && to != from && bytes > 0) memory.copy(to, from, bytes);
}

bool read_flag(const StepMemory& memory, const void* at) {
  bool flag = false;
  memory.read(&flag, at, sizeof flag);
  return flag;
}

// How parts share a buffer.
struct Share {
  size_t bytes = 0;   // of the whole buffer
  size_t stride = 0;  // from one part to the next; 0: all parts share it
};

}  // namespace

Step make_scan(const Node& node, KernelContext& context, const Graph& body, int parts) {
  const auto& attrs = node.attr<ScanAttrs>();
  auto carries = static_cast<size_t>(attrs.carries), xs = static_cast<size_t>(attrs.xs);
  size_t captures = node.inputs.size() - attrs.first_capture();
  std::shared_ptr<const HostProgram> program;
  {
    std::optional<SingleThread> alone;
    if (parts > 1) alone.emplace();
    program = compile_subgraph(body, context, captures);
  }
  int64_t length = scan_length(node);
  bool reverse = attrs.reverse;
  // Of each input and output of one step.
  const Graph& whole = *node.subgraphs[0];
  auto share = [&](const Type& all, const Type& one) {
    return Share{all.bytes(), all.shape == one.shape ? 0 : one.bytes()};
  };
  std::vector<Share> given, made;
  for (size_t i = 0; i < whole.inputs.size(); ++i)
    given.push_back(share(whole.inputs[i].type(), program->inputs[i]));
  for (size_t i = 0; i < whole.outputs.size(); ++i)
    made.push_back(share(whole.outputs[i].type(), program->outputs[i]));

  Scratch scratch;
  auto count = static_cast<size_t>(parts);
  std::vector<size_t> arenas;
  for (size_t part = 0; part < count; ++part)
    arenas.push_back(scratch.reserve(program->memory.arena));
  std::vector<Type> types;
  for (size_t i = 0; i < carries; ++i) types.push_back(whole.outputs[i].type());
  Carried carried(types, scratch);
  size_t prepared = scratch.reserve(program->prepared_bytes());
  std::vector<size_t> unread;
  for (size_t y = carries; y < made.size(); ++y) unread.push_back(scratch.reserve(made[y].bytes));
  context.scratch_bytes = scratch.total();
  context.kept_bytes = program->memory.kept * count;
  context.constant_bytes = program->memory.constants;
  context.kernel = parts > 1 ? str("host:scan in ", parts, " parts") : "host:scan";
  const StepMemory* memory = &context.memory;
  auto run_part = [=](const StepArgs& args, size_t part) {
    auto at = [part](const void* base, const Share& share, size_t element = 0) {
      return static_cast<std::byte*>(const_cast<void*>(base)) + element * share.bytes +
             part * share.stride;
    };
    std::vector<void*> in(given.size()), out(made.size()), current(carries);
    for (size_t i = 0; i < given.size(); ++i) in[i] = at(args.in[i], given[i]);
    for (size_t c = 0; c < carries; ++c) current[c] = in[c];
    for (int64_t t = 0; t < length; ++t) {
      auto element = static_cast<size_t>(reverse ? length - 1 - t : t);
      for (size_t c = 0; c < carries; ++c) {
        in[c] = current[c];
        bool last = t + 1 == length && args.out[c] != nullptr;
        current[c] = at(last ? args.out[c] : args.scratch + carried.offsets[t % 2][c], made[c]);
        out[c] = current[c];
      }
      for (size_t x = carries; x < carries + xs; ++x) in[x] = at(args.in[x], given[x], element);
      for (size_t y = carries; y < made.size(); ++y) {
        out[y] = args.out[y] ? at(args.out[y], made[y], element)
                             : at(args.scratch + unread[y - carries], made[y]);
      }
      program->run(in.data(), out.data(), args.scratch + arenas[part], nullptr,
                   args.scratch + prepared);
    }
    for (size_t c = 0; c < carries; ++c) {
      if (args.out[c] == nullptr) continue;
      size_t bytes = made[c].stride > 0 ? made[c].stride : made[c].bytes;
      copy_bytes(*memory, at(args.out[c], made[c]), current[c], bytes);
    }
  };
  return [=](const StepArgs& args) {
    program->prepare(args.in, args.scratch + prepared);
    parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) run_part(args, static_cast<size_t>(part));
    });
  };
}

namespace {
Step make_whole_scan(const Node& node, KernelContext& context) {
  return make_scan(node, context, *node.subgraphs[0], 1);
}

Step make_while(const Node& node, KernelContext& context) {
  auto condition = compile_subgraph(*node.subgraphs.at(0), context),
       body = compile_subgraph(*node.subgraphs.at(1), context);
  auto states = static_cast<size_t>(node.attr<WhileAttrs>().states);
  Scratch scratch;
  size_t arena = scratch.reserve(std::max(condition->memory.arena, body->memory.arena));
  size_t verdict = scratch.reserve(sizeof(bool));
  Carried carried(body->outputs, scratch);
  context.scratch_bytes = scratch.total();
  context.kept_bytes = std::max(condition->memory.kept, body->memory.kept);
  context.constant_bytes = condition->memory.constants + body->memory.constants;
  context.kernel = "host:while";
  size_t inputs = node.inputs.size();
  const StepMemory* memory = &context.memory;
  return [=](const StepArgs& args) {
    std::vector<void*> in(args.in, args.in + inputs), out(states);
    void* holds = args.scratch + verdict;
    for (size_t turn = 0;; ++turn) {
      condition->run(in.data(), &holds, args.scratch + arena);
      if (!read_flag(*memory, holds)) break;
      for (size_t s = 0; s < states; ++s) out[s] = args.scratch + carried.offsets[turn % 2][s];
      body->run(in.data(), out.data(), args.scratch + arena);
      std::copy(out.begin(), out.end(), in.begin());
    }
    for (size_t s = 0; s < states; ++s) copy_bytes(*memory, args.out[s], in[s], carried.bytes[s]);
  };
}

Step make_if(const Node& node, KernelContext& context) {
  auto then = compile_subgraph(*node.subgraphs.at(0), context),
       otherwise = compile_subgraph(*node.subgraphs.at(1), context);
  Scratch scratch;
  size_t arena = scratch.reserve(std::max(then->memory.arena, otherwise->memory.arena));
  std::vector<size_t> unread;
  for (const Type& type : then->outputs) unread.push_back(scratch.reserve(type.bytes()));
  context.scratch_bytes = scratch.total();
  context.kept_bytes = std::max(then->memory.kept, otherwise->memory.kept);
  context.constant_bytes = then->memory.constants + otherwise->memory.constants;
  context.kernel = "host:if";
  const StepMemory* memory = &context.memory;
  return [=](const StepArgs& args) {
    std::vector<void*> out;
    for (size_t i = 0; i < unread.size(); ++i)
      out.push_back(args.out[i] ? args.out[i] : args.scratch + unread[i]);
    const auto& branch = read_flag(*memory, args.in[0]) ? then : otherwise;
    branch->run(args.in + 1, out.data(), args.scratch + arena);
  };
}

}  // namespace

MakeKernel control_flow_kernel(const OpDef& op) {
  if (&op == &op::scan) return make_whole_scan;
  if (&op == &op::while_loop) return make_while;
  if (&op == &op::if_else) return make_if;
  return nullptr;
}

}  // namespace wafer
