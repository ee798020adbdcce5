#include "wafer/kernel/device/session.h"

#include <algorithm>

#include "wafer/kernel/c_printer.h"
#include "wafer/kernel/program.h"
#include "wafer/op/layout.h"
#include "wafer/op/op.h"

namespace wafer::kernel {

#include "device_kernels.inc"  // find_kernel

namespace {
std::string_view computed_type(DType dtype) {
  if (dtype == DType::f64) return "double";
  if (is_floating(dtype)) return "float";
  return is_signed(dtype) ? "WF_I64" : "WF_U64";
}
}  // namespace

Session& session_of(const KernelContext& context) {
  auto* session = dynamic_cast<Session*>(context.session);
  WAFER_CHECK(session != nullptr, "a kernel of a device is made outside of its target");
  return *session;
}

std::string describe(const Node& node) {
  return str(node.op->name, " of ", node.outputs[0], node.path.empty() ? "" : " (", node.path,
             node.path.empty() ? "" : ")");
}

DType computed_in(DType dtype) {
  if (dtype == DType::f64) return DType::f64;
  if (is_floating(dtype)) return DType::f32;
  return is_signed(dtype) ? DType::i64 : DType::u64;
}

std::string words(const std::string& prefix, DType dtype) {
  std::string store = dtype == DType::boolean ? "(p)[i] = (unsigned char)((v) != 0)"
                                              : store_text(dtype, "(p)", "(i)", "(v)");
  return str("#define ", prefix, "_T ", storage_type(dtype), "\n#define ", prefix, "_C ",
             computed_type(dtype), "\n#define ", prefix, "_LOAD(p, i) ((", computed_type(dtype),
             ")", load_text(dtype, "(p)", "(i)"), ")\n#define ", prefix, "_STORE(p, i, v) ", store,
             "\n");
}

std::string library_source(const KernelContext& context, const std::string& definitions,
                           std::string_view text, bool f64) {
  return str(print_prelude(session_of(context).queue().dialect(), f64), definitions, text);
}

std::shared_ptr<const KernelSlot> Session::library(const std::string& source,
                                                   const std::string& name) {
  return std::make_shared<KernelSlot>(
      KernelSlot{queue_.kernel(queue_.compile(source, true), name)});
}

std::shared_ptr<const KernelSlot> Session::add_source(std::string source, const std::string& name,
                                                      bool f64) {
  f64_ = f64_ || f64;
  sources_.push_back({name, std::move(source), std::make_shared<KernelSlot>()});
  return sources_.back().kernel;
}

void Session::finish() {
  if (sources_.empty()) return;
  std::string source = print_prelude(queue_.dialect(), f64_);
  for (const Added& added : sources_) source += added.source;
  auto compiled = queue_.compile(source, false);
  for (const Added& added : sources_) added.kernel->kernel = queue_.kernel(compiled, added.name);
}

Launch make_launch(const Node& node, const KernelContext& context, const std::string& source,
                   const std::string& name, const std::vector<int64_t>& parameters, int64_t items,
                   int64_t grain) {
  Session& session = session_of(context);
  Launch launch;
  launch.kernel = session.library(source, name);
  launch.queue = &session.queue();
  launch.items = items;
  launch.grain = grain;
  launch.what = describe(node);
  if (!parameters.empty()) {
    size_t bytes = parameters.size() * sizeof(int64_t);
    launch.parameters = session.queue().allocate(bytes);
    session.queue().write(launch.parameters->data(), parameters.data(), bytes);
  }
  return launch;
}

namespace {
// The programs of an element-wise node's groups over all its inputs, and each one's first output.
struct Programs {
  std::vector<Program> programs;
  std::vector<int> first_outputs;

  Programs(const Node& node, const std::vector<bool>& used) {
    if (node.subgraphs.size() < 2) {
      programs.push_back(build_program(node, used));
      first_outputs.push_back(0);
      return;
    }
    for (const FusedGroup& group : groups_of(node)) {
      std::vector<Type> inputs, outputs;
      std::vector<bool> used_here;
      for (size_t i = 0; i < group.graph->inputs.size(); ++i)
        inputs.push_back(node.inputs[group.first_input + i].type());
      for (size_t i = 0; i < group.graph->outputs.size(); ++i) {
        outputs.push_back(node.outputs[group.first_output + i]);
        used_here.push_back(used.empty() || used[group.first_output + i]);
      }
      Program program = build_program(*group.graph, inputs, outputs, used_here);
      for (Access& access : program.accesses) access.input += static_cast<int>(group.first_input);
      programs.push_back(std::move(program));
      first_outputs.push_back(static_cast<int>(group.first_output));
    }
  }

  int64_t most_elements() const {
    int64_t most = 0;
    for (const Program& program : programs) most = std::max(most, program.elements());
    return most;
  }
};
}  // namespace

Step make_elementwise(const Node& node, KernelContext& context) {
  Session& session = session_of(context);
  Programs all(node, context.output_used);
  PrintedKernel printed;
  Arguments arguments = session.queue().dialect().arguments;
  Launch launch;
  // Printed twice: whether it computes in f64 is known afterwards only.
  bool f64 = print_kernels(all.programs, all.first_outputs, "it").f64;
  launch.kernel = session.add(f64, [&](const std::string& name) {
    printed = print_kernels(all.programs, all.first_outputs, name, arguments);
    return printed.source;
  });
  launch.queue = &session.queue();
  launch.items = all.most_elements();
  launch.grain = 2048;
  launch.what = describe(node);
  context.kernel = "fused";
  return [launch, inputs = printed.inputs, outputs = printed.outputs](const StepArgs& args) {
    std::vector<const void*> addresses;
    for (int i : inputs) addresses.push_back(args.in[i]);
    for (int i : outputs) addresses.push_back(args.out[i]);
    launch(std::span<const void* const>(addresses));
  };
}

}  // namespace wafer::kernel
