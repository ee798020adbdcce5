#include "wafer/pass/lower.h"

#include <chrono>
#include <functional>

#include "wafer/base/log.h"
#include "wafer/pass/batch_parts.h"
#include "wafer/pass/bind_constants.h"
#include "wafer/pass/cse.h"
#include "wafer/pass/decompose.h"
#include "wafer/pass/fold_constants.h"
#include "wafer/pass/fuse.h"
#include "wafer/pass/pool.h"
#include "wafer/pass/simplify.h"
#include "wafer/pass/unused.h"

namespace wafer {

namespace {
// Runs one pass: timed, logged, and verified in builds with assertions.
class Pipeline {
 public:
  explicit Pipeline(Graph graph) : graph_(std::move(graph)) { check("the input of lower"); }

  void run(const char* name, const std::function<Graph(const Graph&)>& pass) {
    auto start = std::chrono::steady_clock::now();
    Graph result = pass(graph_);
    double milliseconds =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    if (log_enabled("pass")) {
      bool changed = !structurally_equal(graph_, result);
      log("pass",
          str(name, ", ", milliseconds, " ms", changed ? ":\n" + print(result) : " (unchanged)"));
    }
    graph_ = std::move(result);
    check(name);
  }

  Graph take() { return std::move(graph_); }

 private:
  void check([[maybe_unused]] const char* after) {
#ifndef NDEBUG
    try {
      verify(graph_);
    } catch (const InternalError& error) {
      throw InternalError(str("after ", after, ": ", error.what(), "\n", print(graph_)));
    }
#endif
  }
  Graph graph_;
};
}  // namespace

Graph lower(const Graph& graph, const Target& target, const LowerOptions& options) {
  Pipeline pipeline(graph);
  pipeline.run("decompose", [&](const Graph& g) { return decompose(g, target); });
  pipeline.run("simplify", simplify);
  if (options.fold_constants) pipeline.run("fold constants", fold_constants);
  pipeline.run("constants of subgraphs", bind_constants);
  pipeline.run("masks of pools", mask_pooled_gradients);
  pipeline.run("common subexpressions", eliminate_common_subexpressions);
  pipeline.run("unused outputs", drop_unused_outputs);
  if (options.batch_cache_bytes > 0) {
    pipeline.run("parts of the batch",
                 [&](const Graph& g) { return run_batch_in_parts(g, options.batch_cache_bytes); });
  }
  if (options.channels_last) {
    pipeline.run("layout",
                 [&](const Graph& g) { return assign_layouts(g, options.channels_last); });
  }
  if (options.fuse_epilogues) {
    pipeline.run("epilogues",
                 [&](const Graph& g) { return fuse_epilogues(g, options.fuse_epilogues); });
  }
  if (options.fuse_elementwise) pipeline.run("fuse", fuse_elementwise);
  if (options.join_updates.values > 0) {
    pipeline.run("updates", [&](const Graph& g) { return join_updates(g, options.join_updates); });
  }
  return pipeline.take();
}

}  // namespace wafer
