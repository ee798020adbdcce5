#pragma once
#include <utility>
#include <vector>

#include "wafer/runtime/artifact.h"
#include "wafer/select/calibration.h"

namespace wafer::select {

// Where a step's operands come from, which decides how fast they are read.
struct Traffic {
  // For each operand its share of the step's bytes, and its reuse distance (Mattson et al. 1970):
  // how many bytes were touched since the operand was last. Caches smaller than that have lost it.
  std::vector<std::pair<double, double>> shares;

  // The mean reuse distance of its bytes.
  double distance() const;
};

// Of each step of an artifact that is run again and again; empty for steps without a node.
std::vector<Traffic> traffic_of(const Artifact& artifact);

// The time of moving the bytes of the work.
double memory_seconds(const Calibration& calibration, const Work& work, const Traffic& traffic);

}  // namespace wafer::select
