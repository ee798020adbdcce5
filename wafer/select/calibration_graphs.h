#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "wafer/ir/graph.h"

// The graphs that a device is measured on.
namespace wafer::select {

// No step at all: an input handed through.
Graph identity_graph();
// One step on one element.
Graph smallest_step_graph();
// A scan of so many turns with one small step each.
Graph scan_graph(int64_t length);
// What shows at which speed the machine is: a product of 67 million flops, in bf16 or f32, and a
// chain of 64 small steps, as a recurrence has them, each of which waits for all threads.
std::vector<Graph> gauge_graphs(bool bf16);
// a = a + b over `elements` f32 each: 12 bytes an element, of 8 in use.
Graph stream_graph(int64_t elements);
// Element-wise ops on `elements` elements each, by element_op: one of each, or several in a row.
std::map<std::string, Graph> element_graphs(int64_t elements);

// Train steps of small models and single ops that stand for what models are made of: convolutions
// and their gradients, products from small to large, pools, reductions, normalisation, attention,
// recurrence, embedding, random numbers, optimiser updates. With `bf16` those that compute are
// there a second time, in that precision.
std::vector<Graph> calibration_graphs(bool bf16);

}  // namespace wafer::select
