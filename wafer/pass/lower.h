#pragma once
#include "wafer/ir/graph.h"
#include "wafer/pass/epilogue.h"
#include "wafer/pass/join_updates.h"
#include "wafer/pass/layout.h"
#include "wafer/runtime/artifact.h"

namespace wafer {

struct LowerOptions {
  RunsChannelsLast channels_last = {};  // null: every value lies row by row
  bool fuse_elementwise = false;        // the target runs `fused` nodes of element-wise ops
  JoinsFollowers fuse_epilogues = {};   // and those of such a contraction with what follows it
  bool fold_constants = false;          // the target is not the one that computes them
  JoinLimits join_updates = {};         // small groups that make outputs alone run together
  size_t batch_cache_bytes = 0;         // examples run in parts that fit; 0: all at once
};

// Turns a user's graph into one that the target can run, node by node. lower.cpp is the contents
// page of passes. WAFER_LOG=pass prints the graph after each pass that changed it, with its time.
Graph lower(const Graph& graph, const Target& target, const LowerOptions& options);

}  // namespace wafer
