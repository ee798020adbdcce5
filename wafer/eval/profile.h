#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "wafer/runtime/artifact.h"
#include "wafer/runtime/device.h"

namespace wafer::eval {

// What one node of a compiled graph cost, summed over its calls.
struct ProfileNode {
  std::string name;    // of the node, unique in its graph
  std::string module;  // path of the module that made it ("cnn.conv1"); empty for none
  std::string op;
  std::string kernel;  // the implementation that ran
  int64_t calls = 0;
  double seconds = 0;
  double flops = 0;   // floating-point operations
  double bytes = 0;   // read and written, at least
  bool bf16 = false;  // works on bf16, so that the peak of its products holds
};

struct Profile {
  std::string device;
  std::optional<double> peak_gflops;       // measured, 10^9 operations a second in f32
  std::optional<double> peak_bf16_gflops;  // the same in bf16; absent: as in f32
  std::optional<double> peak_gbytes;       // measured memory bandwidth, 10^9 bytes a second
  int64_t steps = 0;                       // how many steps were profiled
  double wall_seconds = 0;                 // of those steps together; 0: unknown
  std::vector<ProfileNode> nodes;
};

// An artifact's steps on a device before they are observed: measured peaks, and the costs of one
// call each. Where the device's peaks are not known yet, measures them.
Profile start_profile(const Artifact& artifact, Device& device);
// Takes the costs of one call times the calls, once all are observed.
void multiply_costs_by_calls(Profile& profile);

// The nodes that share a layer or a kernel, added up.
struct ProfileRow {
  std::string name;
  int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
  double share = 0;  // of the time of all nodes, 0..1
  std::optional<double>
      roofline;  // least possible time / time; absent where no peak or no time is known
};

// The least time that the roofline allows (Williams et al. 2009): the larger of flops / peak and
// bytes / bandwidth, in seconds. Absent when neither peak is known or there is nothing to do.
std::optional<double> roofline_seconds(const Profile& profile, double flops, double bytes,
                                       bool bf16 = false);
// "317 GFLOP/s (2,190 in bf16) and 31.6 GB/s"; empty where none is known.
std::string peaks_text(const Profile& profile);

// Rows in falling order of time. Nodes without a module are grouped by op, as "(op)". A group's
// least time is the sum of its nodes' least times.
std::vector<ProfileRow> by_layer(const Profile& profile);
std::vector<ProfileRow> by_kernel(const Profile& profile);

// Both tables as text of fixed width, ready to print; times are per step.
std::string profile_text(const Profile& profile);

// One span on a time line.
struct TraceEvent {
  std::string name;
  std::string category;  // such as "kernel", "pass", "data"
  double start_seconds = 0, seconds = 0;
  int64_t thread = 0;
  std::vector<std::pair<std::string, std::string>> arguments;  // shown when the span is selected
};

// The Trace Event Format as JSON (complete events, in microseconds): opens in Perfetto and
// chrome://tracing. thread_names: (thread, name) labels of the rows.
std::string chrome_trace(std::span<const TraceEvent> events,
                         const std::string& process_name = "wafer",
                         std::span<const std::pair<int64_t, std::string>> thread_names = {});

}  // namespace wafer::eval
