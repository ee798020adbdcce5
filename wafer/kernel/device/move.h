#pragma once
#include "wafer/kernel/device/session.h"

namespace wafer::kernel {

// Elements copied one by one between two strided places.
struct Move {
  std::vector<int64_t> sizes;     // of what is copied
  std::vector<int64_t> from, to;  // strides, in elements, of each dimension
  int64_t from_offset = 0, to_offset = 0;
  // A start that is known at the run alone (i64, one number a dimension): each is clamped to [0,
  // limits[d]] and moves the place that is read (or written) by that many strides.
  std::vector<int64_t> limits, start_from, start_to;
};

// A launch on (from, to, start).
Launch make_move(const Node& node, const KernelContext& context, DType dtype, Move move);

}  // namespace wafer::kernel
