#include <algorithm>

#include "wafer/base/threads.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/pass/examples.h"
#include "wafer/pass/host/control_flow.h"

namespace wafer::cpu {

namespace {
// Rows of a batch that a thread multiplies by itself without losing much to each reading the whole
// of the weights.
constexpr int64_t least_rows = 8;

// Other operands than constants and captures would be prepared by each thread in each step.
bool weights_stay(const Graph& body, size_t captures) {
  auto stays = [&](const Tensor& value) {
    auto first = body.inputs.end() - static_cast<std::ptrdiff_t>(captures);
    return value.node().is(op::constant) ||
           std::find(first, body.inputs.end(), value) != body.inputs.end();
  };
  for (const Node* node : topological_order(body)) {
    if (node->is(op::matmul) && !stays(node->inputs[1])) return false;
  }
  return true;
}

bool are_of_examples(const Graph& body, const Examples& examples) {
  auto of_examples = [&](const Tensor& value) { return examples.rows(value) > 0; };
  return std::all_of(body.outputs.begin(), body.outputs.end(), of_examples);
}
}  // namespace

// Threads that each take a part of the batch through all steps need not wait for each other after
// every product, as they do where they share each step.
WAFER_KERNEL(scan) {
  const Graph& body = *node.subgraphs.at(0);
  auto whole = [&] { return make_scan(node, context, body, 1); };
  int threads = thread_count();
  if (threads < 2 || node.attr<ScanAttrs>().carries == 0) return whole();
  const Shape& state = body.inputs[0].shape();
  int64_t batch = state.rank() > 0 ? state.size(0) : 0;
  const auto& attrs = node.attr<ScanAttrs>();
  auto captures = node.inputs.size() - static_cast<size_t>(attrs.carries + attrs.xs);
  if (batch % threads != 0 || batch / threads < least_rows || !weights_stay(body, captures))
    return whole();
  Examples examples(body, batch);
  if (!examples.apart() || !are_of_examples(body, examples)) return whole();
  return make_scan(node, context, examples.part_of(body, batch / threads), threads);
}

}  // namespace wafer::cpu
