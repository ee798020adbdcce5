#include "wafer/select/try_kernels.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "wafer/base/log.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/select/calibration_graphs.h"
#include "wafer/select/gauge.h"
#include "wafer/select/predict.h"
#include "wafer/select/traffic.h"

namespace wafer::select {

namespace {
// Two steps are alike when they differ by less than this in their sizes' logarithms.
constexpr double alike = 0.25;
// Seconds to wait, in all, for the speed of the machine that the calibration is for.
constexpr double patience = 3;

bool is_known(const Calibration& calibration, const Work& work) {
  return std::any_of(calibration.samples.begin(), calibration.samples.end(),
                     [&](const Sample& sample) {
                       return sample.kind == work.kind && distance(sample.size, work.size) < alike;
                     });
}

Type row_major(Type type) {
  type.layout = Layout::row_major;
  return type;
}

// The node alone, in the layout of graphs: lowering chooses layouts again.
Graph alone(const Node& node) {
  Graph graph;
  for (size_t i = 0; i < node.inputs.size(); ++i)
    graph.inputs.push_back(make_input(row_major(node.inputs[i].type()), str("x", i)));
  std::vector<Type> outputs;
  for (const Type& type : node.outputs) outputs.push_back(row_major(type));
  graph.outputs = clone_node(node, graph.inputs, outputs);
  return graph;
}

bool is_row_major(const Node& node) {
  auto plain = [](const Type& type) { return type.layout == Layout::row_major; };
  return std::all_of(node.outputs.begin(), node.outputs.end(), plain) &&
         std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](const Tensor& input) { return plain(input.type()); });
}

class Trial {
 public:
  Trial(Device& device, const Calibration& calibration)
      : device_(device),
        calibration_(calibration),
        gauge_(device, calibration.threads, calibration.gauge_seconds, patience) {}

  void observe(const Artifact& artifact) {
    std::vector<Traffic> traffic = traffic_of(artifact);
    for (size_t i = 0; i < artifact.steps.size(); ++i) {
      if (artifact.steps[i].node) consider(*artifact.steps[i].node, traffic[i].distance());
    }
  }

  int count() const { return count_; }
  Calibration take() { return std::move(calibration_); }

 private:
  // `reuse`: bytes that the graph touches before the node finds its operands again.
  void consider(const Node& node, double reuse) {
    // A group's graph is one kernel, not steps.
    if (!node.is(op::fused)) {
      for (const auto& graph : node.subgraphs)
        observe(*compile_cached(device_, *graph, {.threads = calibration_.threads}));
    }
    if (node.is(op::if_else) || node.is(op::while_loop) || node.is(op::reorder)) return;
    // Groups in another layout hold operations in it: they cannot stand alone.
    if (node.is(op::fused) && !is_row_major(node)) return;
    Work work = work_of(node);
    // What takes no time cannot be far off.
    if (is_known(calibration_, work) || work.bytes < 4096) return;
    auto artifact = device_.target().compile(alone(node), {.threads = calibration_.threads});
    size_t step = 0;
    while (step < artifact->steps.size() &&
           (!artifact->steps[step].node || !artifact->steps[step].node->is(*node.op)))
      ++step;
    if (step == artifact->steps.size()) return;  // decomposed: its parts are steps of their own
    Runner runner(device_, artifact);
    Others others = others_touching(reuse);
    double seconds = 0;
    gauge_.settle([&] { seconds = step_times(runner, 0.02, 5, others.run)[step]; });
    double ideal =
        node.is(op::scan)
            ? ideal_scan_seconds(device_, node, calibration_)
            : calibration_.ideal_seconds(
                  work, work.bytes / calibration_.bandwidth_at(work.bytes + others.bytes));
    calibration_.samples.push_back({work.kind, work.size, std::max(seconds, 1e-9) / ideal});
    ++count_;
  }

  // What stands for the other steps of the graph between two runs of a node.
  struct Others {
    std::function<void()> run;  // takes from the caches what they would; none where empty
    double bytes = 0;           // touched by it
  };

  // Others that touch near `bytes`: a power of two.
  Others others_touching(double bytes) {
    constexpr double least = 1 << 20, most = 1 << 26;
    if (bytes < least) return {};
    double touched = std::exp2(std::round(std::log2(std::min(bytes, most))));
    auto& runner = streams_[touched];
    if (!runner) {
      runner = std::make_unique<Runner>(
          device_, device_.target().compile(stream_graph(static_cast<int64_t>(touched) / 8),
                                            {.threads = calibration_.threads}));
    }
    return {[stream = runner.get()] { stream->run(); }, touched};
  }

  Device& device_;
  Calibration calibration_;
  Gauge gauge_;
  std::map<double, std::unique_ptr<Runner>> streams_;  // by bytes
  int count_ = 0;
};
}  // namespace

std::shared_ptr<const Calibration> try_kernels(Device& device, const Artifact& artifact,
                                               std::shared_ptr<const Calibration> calibration) {
  Trial trial(device, *calibration);
  trial.observe(artifact);
  if (trial.count() == 0) return calibration;
  log(LogLevel::info, str("tried ", trial.count(), " kernels unlike those measured before, with ",
                          calibration->threads, " threads"));
  auto result = std::make_shared<const Calibration>(trial.take());
  keep_calibration(*result);
  return result;
}

}  // namespace wafer::select
