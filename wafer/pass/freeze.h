#pragma once
#include <memory>
#include <vector>

#include "wafer/pass/precision.h"
#include "wafer/runtime/device.h"

namespace wafer {

// A graph for inference with weights that no longer change: its first inputs, as many as `weights`
// (device memory, row-major, of their types), become constants, and what depends on them alone
// is computed here, once, by the device. Batch norms of inference go into the convolution before
// them, and the rest is brought to `precision` (not automatic). Kernels may then keep such
// constants in whatever layout they like.
Graph freeze(const Graph& graph, const std::vector<std::shared_ptr<Storage>>& weights,
             Device& device, Precision precision = Precision::f32);

// conv, maybe with a bias, then batch_norm_inference, as a convolution with scaled weights and a
// bias; where nothing else reads what lies between.
Graph fold_batch_norms(const Graph& graph);

}  // namespace wafer
