#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tests/op/run.h"
#include "wafer/op/op.h"

namespace wafer::op_tests {

void print_performance(const std::string& device_name, const std::string& filter) {
  auto target = device(device_name);
  std::printf("%-22s %-32s %12s %10s %10s\n", "op", "case", "ms (median)", "GFLOP/s", "GB/s");
  for (const OpCase& c : perf_cases()) {
    if (c.op.find(filter) == std::string::npos) continue;
    std::vector<Tensor> inputs = random_inputs(c, DType::f32, 1);
    Graph graph = graph_of(c.build, inputs);
    Cost total;
    for (const Node* node : topological_order(graph)) {
      Cost each = cost(*node);
      total.flops += each.flops;
      total.bytes += each.bytes;
    }
    auto artifact = target->target().compile(graph, {});
    std::vector<std::shared_ptr<Storage>> storages;
    for (const Tensor& input : inputs) {
      storages.push_back(target->allocate(input.type().bytes()));
      target->copy_from_host(input.storage()->data(), *storages.back(), input.type().bytes());
    }
    // At least three runs, for about a second.
    std::vector<double> seconds;
    double spent = 0;
    while (seconds.size() < 3 || (spent < 1 && seconds.size() < 200)) {
      auto start = std::chrono::steady_clock::now();
      execute(*target, *artifact, storages);
      target->synchronize();
      seconds.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      spent += seconds.back();
    }
    std::nth_element(seconds.begin(), seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2),
                     seconds.end());
    double median = seconds[seconds.size() / 2];
    std::printf("%-22s %-32s %12.3f %10.2f %10.2f\n", c.op.c_str(), c.name.c_str(), median * 1e3,
                total.flops / median * 1e-9, total.bytes / median * 1e-9);
    std::fflush(stdout);
  }
}

}  // namespace wafer::op_tests
