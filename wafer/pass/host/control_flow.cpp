#include "wafer/pass/host/control_flow.h"

#include <algorithm>

#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/pass/host/host_program.h"

namespace wafer {

namespace {

std::shared_ptr<const HostProgram> compile_subgraph(const Node& node, size_t index,
                                                    const KernelContext& context) {
  auto program = std::dynamic_pointer_cast<const HostProgram>(
      context.target.compile(*node.subgraphs.at(index), {}));
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

Step make_scan(const Node& node, KernelContext& context) {
  const auto& attrs = node.attr<ScanAttrs>();
  auto program = compile_subgraph(node, 0, context);
  auto carries = static_cast<size_t>(attrs.carries), xs = static_cast<size_t>(attrs.xs);
  int64_t length = scan_length(node);
  bool reverse = attrs.reverse;
  Scratch scratch;
  size_t arena = scratch.reserve(program->memory.arena);
  Carried carried(
      {program->outputs.begin(), program->outputs.begin() + static_cast<std::ptrdiff_t>(carries)},
      scratch);
  std::vector<size_t> y_bytes, x_bytes, unread;
  for (size_t y = carries; y < program->outputs.size(); ++y) {
    y_bytes.push_back(program->outputs[y].bytes());
    unread.push_back(scratch.reserve(y_bytes.back()));
  }
  for (size_t x = 0; x < xs; ++x) x_bytes.push_back(program->inputs[carries + x].bytes());
  context.scratch_bytes = scratch.total();
  context.library_bytes = program->memory.library;
  context.constant_bytes = program->memory.constants;
  context.kernel = "host:scan";
  size_t inputs = node.inputs.size();
  const StepMemory* memory = &context.memory;
  return [=](const StepArgs& args) {
    std::vector<void*> in(args.in, args.in + inputs), out(carries + y_bytes.size());
    std::vector<void*> current(args.in, args.in + carries);
    for (int64_t t = 0; t < length; ++t) {
      auto at = static_cast<size_t>(reverse ? length - 1 - t : t);
      for (size_t c = 0; c < carries; ++c) {
        in[c] = current[c];
        bool last = t + 1 == length && args.out[c] != nullptr;
        current[c] = last ? args.out[c] : args.scratch + carried.offsets[t % 2][c];
        out[c] = current[c];
      }
      for (size_t x = 0; x < xs; ++x)
        in[carries + x] = static_cast<std::byte*>(args.in[carries + x]) + at * x_bytes[x];
      for (size_t y = 0; y < y_bytes.size(); ++y) {
        void* stacked = args.out[carries + y];
        out[carries + y] = stacked ? static_cast<std::byte*>(stacked) + at * y_bytes[y]
                                   : static_cast<void*>(args.scratch + unread[y]);
      }
      program->run(in.data(), out.data(), args.scratch + arena);
    }
    for (size_t c = 0; c < carries; ++c)
      copy_bytes(*memory, args.out[c], current[c], carried.bytes[c]);
  };
}

Step make_while(const Node& node, KernelContext& context) {
  auto condition = compile_subgraph(node, 0, context), body = compile_subgraph(node, 1, context);
  auto states = static_cast<size_t>(node.attr<WhileAttrs>().states);
  Scratch scratch;
  size_t arena = scratch.reserve(std::max(condition->memory.arena, body->memory.arena));
  size_t verdict = scratch.reserve(sizeof(bool));
  Carried carried(body->outputs, scratch);
  context.scratch_bytes = scratch.total();
  context.library_bytes = std::max(condition->memory.library, body->memory.library);
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
  auto then = compile_subgraph(node, 0, context), otherwise = compile_subgraph(node, 1, context);
  Scratch scratch;
  size_t arena = scratch.reserve(std::max(then->memory.arena, otherwise->memory.arena));
  std::vector<size_t> unread;
  for (const Type& type : then->outputs) unread.push_back(scratch.reserve(type.bytes()));
  context.scratch_bytes = scratch.total();
  context.library_bytes = std::max(then->memory.library, otherwise->memory.library);
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
  if (&op == &op::scan) return make_scan;
  if (&op == &op::while_loop) return make_while;
  if (&op == &op::if_else) return make_if;
  return nullptr;
}

}  // namespace wafer
