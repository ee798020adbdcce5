#include <algorithm>

#include "wafer/base/threads.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/op.h"
#include "wafer/pass/examples.h"
#include "wafer/pass/host/control_flow.h"

namespace wafer::cpu {

namespace {
// Each thread reads all the weights in each step. That costs little where it multiplies so many
// rows by them, and they stay in the cache that threads share.
constexpr int64_t least_rows = 8;
constexpr size_t most_weight_bytes = size_t{8} << 20;

// Whether products are by constants and captures, which are prepared once for all threads, and
// small enough; what else would be prepared by each thread in each step.
bool weights_suit(const Graph& body, size_t first_capture) {
  auto stays = [&](const Tensor& value) {
    auto captures = body.inputs.begin() + static_cast<std::ptrdiff_t>(first_capture);
    return value.node().is(op::constant) ||
           std::find(captures, body.inputs.end(), value) != body.inputs.end();
  };
  size_t bytes = 0;
  for (const Node* node : topological_order(body)) {
    if (node->is(op::conv) || (node->is(op::matmul) && !stays(node->inputs[1]))) return false;
    if (node->is(op::matmul)) bytes += node->inputs[1].type().bytes();
  }
  return bytes <= most_weight_bytes;
}

// Whether each result has rows of the examples, and each carry as many as it came in with.
bool results_suit(const Graph& body, const Examples& examples, size_t carries) {
  for (size_t i = 0; i < body.outputs.size(); ++i) {
    int64_t rows = examples.rows(body.outputs[i]);
    if (rows == 0 || (i < carries && rows != examples.rows(body.inputs[i]))) return false;
  }
  return true;
}
}  // namespace

// Threads that each take a part of the batch through all steps need not wait for each other after
// every product, as they do where they share each step.
WAFER_KERNEL(scan) {
  const Graph& body = *node.subgraphs.at(0);
  const auto& attrs = node.attr<ScanAttrs>();
  auto whole = [&] { return make_scan(node, context, body, 1); };
  int threads = thread_count();
  if (threads < 2 || attrs.carries == 0) return whole();
  const Shape& state = body.inputs[0].shape();
  int64_t batch = state.rank() > 0 ? state.size(0) : 0;
  if (batch % threads != 0 || batch / threads < least_rows) return whole();
  if (!weights_suit(body, attrs.first_capture())) return whole();
  Examples examples(body, batch);
  if (!examples.apart() || !results_suit(body, examples, static_cast<size_t>(attrs.carries)))
    return whole();
  return make_scan(node, context, examples.part_of(body, batch / threads), threads);
}

}  // namespace wafer::cpu
