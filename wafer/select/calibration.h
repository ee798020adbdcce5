#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "wafer/runtime/device.h"
#include "wafer/select/work.h"

namespace wafer::select {

// How long a step took beside its ideal time.
struct Sample {
  std::string kind;          // of its Work
  std::vector<double> size;  // of its Work
  double ratio = 1;          // measured / ideal seconds
};

// What a device was measured to do with a number of threads: enough to predict graphs by their
// flops and bytes.
struct Calibration {
  std::string device;  // name and description of the device
  int threads = 1;
  // Best of all convolutions and products, by the dtype of what they multiply ("f32").
  std::map<std::string, double> flops_per_second;
  std::vector<std::pair<double, double>> bandwidth;  // (bytes in use, bytes a second), ascending
  std::map<std::string, double> element_seconds;     // of one element in cache, by element_op
  double run_seconds = 0;                            // of a run that does nothing
  double step_seconds = 0;                           // of the smallest step
  double iteration_seconds = 0;                      // of a turn of a scan, besides its steps
  std::vector<double> gauge_seconds;                 // of gauge_graphs, at the usual speed
  std::vector<Sample> samples;
  bool disturbed = false;  // some of it never at the usual speed: rates may be off

  // The rate of products of a dtype; of f32 for those that were not measured.
  double flops_per_second_in(DType dtype) const;

  // Bytes a second where `bytes` are in use, between the two nearest that were measured.
  double bandwidth_at(double bytes) const;

  // The least time that the roofline (Williams et al. 2009) allows, plus step_seconds: the larger
  // of flops over the best rate (for element-wise work the sum over its ops of elements times
  // element_seconds) and `memory_seconds`, the time of moving work.bytes.
  double ideal_seconds(const Work& work, double memory_seconds) const;
};

// Measures now, in about `seconds` (but at least twice each), and in up to three times as many
// where other work changes the machine's speed meanwhile.
Calibration measure_calibration(Device& device, int threads, double seconds = 1.5);

// From the cache on disk (WAFER_CACHE, else ~/.cache/wafer), else measured and kept there. A cached
// one counts for the same device, threads and build of this library, while the machine is seen at
// its speed within a second; one that cannot be read, or was disturbed, is measured again.
std::shared_ptr<const Calibration> calibrate(Device& device, int threads);

// Replaces the cached one; a warning where that is impossible.
void keep_calibration(const Calibration& calibration);

// The two halves, for tests. UserError naming the file when it is not such a calibration.
void save_calibration(const Calibration& calibration, const std::filesystem::path& path);
Calibration load_calibration(const std::filesystem::path& path);

}  // namespace wafer::select
