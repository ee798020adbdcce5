#include <functional>
#include <map>

#include "tests/op/run.h"
#include "wafer/base/strings.h"
#include "wafer/kernel/device/target.h"
#include "wafer/op/op.h"

namespace wafer::op_tests {

namespace {

// Graphs of all cases, and the nodes in them by op and dtype.
struct Sampled {
  std::vector<Graph> graphs;
  std::map<std::string, std::map<DType, std::vector<const Node*>>> nodes;
};

const Sampled& sampled() {
  static const Sampled result = [] {
    Sampled all;
    for (const OpCase& c : all_cases()) {
      for (DType dtype : c.dtypes) {
        all.graphs.push_back(graph_of(c.build, random_inputs(c, dtype, 1)));
        for (const Node* node : topological_order(all.graphs.back())) {
          // A kernel may leave what has no elements to the parts.
          if (node->outputs[0].elements() == 0 && !node->op->is_primitive()) continue;
          all.nodes[node->op->name][tested_dtype(*node)].push_back(node);
        }
      }
    }
    return all;
  }();
  return result;
}

std::string dtype_names(const std::vector<DType>& dtypes, const std::vector<DType>& claimed) {
  if (dtypes.empty()) return "none";
  if (dtypes == all_dtypes()) return "all";
  if (dtypes == numbers()) return "numbers";
  if (dtypes == floats()) return "floats";
  if (dtypes == claimed && dtypes.size() > 3) return "all it takes";
  std::vector<std::string> names;
  for (DType dtype : dtypes) names.emplace_back(name(dtype));
  return join(names, " ");
}

// A column of the matrix. That of opencl and cuda, which share
// their kernels, needs no device: it is what one with f64 runs.
struct Column {
  std::string name;
  std::function<Support(const Node&)> supports;
};

std::vector<Column> columns() {
  std::vector<Column> result;
  for (const auto& device : host_devices()) {
    result.push_back({device->info().name,
                      [device](const Node& node) { return device->target().supports(node); }});
  }
  result.push_back(
      {"opencl, cuda", [](const Node& node) { return kernel::supports(node, "a GPU", {}); }});
  return result;
}

std::string support_of(const Column& column, const OpDef& op, const std::vector<DType>& claimed) {
  std::vector<DType> supported;
  auto found = sampled().nodes.find(op.name);
  for (DType dtype : claimed) {
    if (found == sampled().nodes.end() || !found->second.count(dtype)) continue;
    const auto& nodes = found->second.at(dtype);
    bool all = std::all_of(nodes.begin(), nodes.end(), [&](const Node* node) {
      return static_cast<bool>(column.supports(*node));
    });
    if (all) supported.push_back(dtype);
  }
  if (supported.empty() && !op.is_primitive()) return "decomposed";
  return dtype_names(supported, claimed);
}

}  // namespace

std::string support_matrix() {
  std::string text =
      "# Which op runs where\n\n"
      "Written by `scripts/support_matrix.sh` from the table of ops, the cases of `tests/op` and "
      "what "
      "each target says; a\ntest fails when it is stale. *dtypes* is what an op works on; "
      "*floats*: "
      "f64 f32 f16 bf16; *numbers*: all but boolean.\nA device's column gives the dtypes that it "
      "has "
      "a kernel for; *decomposed*: it runs the ops that the composite is made\nof. *gradient*: "
      "own: "
      "the op has one; parts: through its decomposition.\n\n"
      "| op | kind | dtypes | gradient |";
  std::string rule = "| --- | --- | --- | --- |";
  for (const Column& column : columns()) {
    text += " " + column.name + " |";
    rule += " --- |";
  }
  text += "\n" + rule + "\n";
  for (const OpDef* op : all_ops()) {
    if (op == &op::input || op == &op::constant) continue;
    std::vector<DType> claimed = claimed_dtypes(op->name);
    text += str("| ", op->name, " | ", op->is_primitive() ? "primitive" : "composite", " | ",
                dtype_names(claimed, {}), " | ",
                op->vjp ? "own" : (op->decompose ? "parts" : "none"), " |");
    for (const Column& column : columns()) text += " " + support_of(column, *op, claimed) + " |";
    text += "\n";
  }
  return text;
}

}  // namespace wafer::op_tests
