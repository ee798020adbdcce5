#pragma once
#include <string>
#include <vector>

#include "wafer/runtime/device.h"
#include "wafer/select/calibration.h"

namespace wafer::select {

struct StepPrediction {
  std::string op, path;
  double seconds = 0;
};

// What a run of an artifact will take.
struct Prediction {
  double seconds = 0;
  std::vector<StepPrediction> steps;
  size_t memory_bytes = 0;  // inputs, outputs, constants and what lies between steps
  double flops = 0, bytes = 0;
  // Share of `seconds` by which the time may well be off: from how far the steps are from what was
  // measured and how much that varied.
  double relative_error = 0;
};

// Each step takes its ideal time (Calibration::ideal_seconds) times the ratio of measured to ideal
// time of the most similar steps that were measured, weighted by nearness. A scan's ideal time is
// its length times its body's prediction; an if_else takes the mean of its branches; of a
// while_loop one turn is counted. The artifact was compiled for `device`.
Prediction predict(Device& device, const Artifact& artifact, const Calibration& calibration);

// The ideal time of a scan.
double ideal_scan_seconds(Device& device, const Node& scan, const Calibration& calibration);

}  // namespace wafer::select
