#pragma once
#include <utility>

#include "wafer/ir/tensor.h"

namespace wafer {

// A value of a graph as the key of a map: its node, and which of the node's outputs it is.
using Value = std::pair<const Node*, int>;

inline Value key(const Tensor& tensor) {
  return {&tensor.node(), tensor.index()};
}

}  // namespace wafer
