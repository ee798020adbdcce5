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

// Weights that are no constants would be prepared by each thread anew.
bool knows_weights(const Graph& body) {
  for (const Node* node : topological_order(body)) {
    if (node->is(op::matmul) && !node->inputs[1].node().is(op::constant)) return false;
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
  if (batch % threads != 0 || batch / threads < least_rows || !knows_weights(body)) return whole();
  Examples examples(body, batch);
  if (!examples.apart() || !are_of_examples(body, examples)) return whole();
  return make_scan(node, context, examples.part_of(body, batch / threads), threads);
}

}  // namespace wafer::cpu
