#pragma once
#include <limits>

#include "wafer/op/op.h"

namespace wafer {

// How many inputs a node of an op has.
struct Arity {
  size_t least = 1, most = 1;
};

// For graphs that come from a file, where no builder has seen to it. An op that is not of one input
// has a line in arity.cpp.
Arity arity(const OpDef& op);

}  // namespace wafer
