#include <thread>

#include "tests/pass/run_graph.h"
#include "wafer/base/threads.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/recurrent.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/freeze.h"

namespace wafer {
namespace {
using namespace testing;

// What computes the graph's first loop.
std::string loop_kernel(const Graph& graph) {
  auto artifact = device("cpu")->target().compile(graph, {});
  for (const StepInfo& step : artifact->steps) {
    if (step.op == "scan") return step.kernel;
  }
  return "none";
}

void expect_whole(const Graph& graph) {
  EXPECT_EQ(loop_kernel(graph), "host:scan");
  GraphValues inputs = random_values(graph, 3);
  expect_near(run_graph(graph, inputs, "cpu"), run_graph(graph, inputs, "reference"), 1e-5, "");
}

constexpr int64_t hidden = 24, features = 10, steps = 6;

// Inputs: the weights, then x and the first states.
Graph recurrent_net(int64_t batch, bool reverse) {
  Tensor x = f32({steps, batch, features}), h = f32({batch, hidden}, "h");
  Tensor c = f32({batch, hidden}, "c");
  RecurrentWeights weights{f32({4 * hidden, features}, "wi"), f32({4 * hidden, hidden}, "wh"),
                           f32({4 * hidden}, "bi"), f32({4 * hidden}, "bh")};
  RecurrentResult result = lstm(x, weights, h, c, {.reverse = reverse});
  return {{weights.input, weights.hidden, weights.input_bias, weights.hidden_bias, x, h, c},
          {result.outputs, result.hidden, result.cell},
          {}};
}

// With known weights each thread takes its part of the batch through all steps, where the batch has
// enough rows for that and can be cut evenly.
TEST(CpuScan, PartsOfTheBatchComputeWhatTheWholeDoes) {
  for (int threads : {1, 2, 3}) {
    ThreadCountScope scope(threads);
    for (int64_t batch : {1, 8, 16, 24, 27, 48}) {
      for (bool reverse : {false, true}) {
        Graph graph = recurrent_net(batch, reverse);
        GraphValues inputs = random_values(graph, static_cast<uint64_t>(batch));
        GraphValues expected = run_graph(graph, inputs, "reference");
        auto on = device("cpu");
        auto memory = on_device(*on, graph, inputs);
        memory.resize(4);
        Graph frozen = freeze(graph, memory, *on);
        GraphValues rest(inputs.begin() + 4, inputs.end());
        bool parts = threads > 1 && batch % threads == 0 && batch / threads >= 8;
        EXPECT_EQ(loop_kernel(frozen),
                  parts ? str("host:scan in ", threads, " parts") : "host:scan");
        expect_near(run_graph(frozen, rest, "cpu"), expected, 1e-5,
                    str("batch ", batch, " on ", threads, " threads"));
      }
    }
  }
}

// Weights that a loop captures are prepared before its first step, anew in each run: what the next
// run is given counts.
TEST(CpuScan, CapturedWeightsMayChangeBetweenRuns) {
  ThreadCountScope scope(2);
  for (int64_t batch : {1, 3, 16, 40}) {
    Graph graph = recurrent_net(batch, false);
    // Of the first state's gradient, whose loop multiplies by the same weights as they lie.
    Tensor h = graph.inputs[5];
    graph.outputs.push_back(gradient({graph.outputs[0]}, {graph.outputs[0]}, {h})[0]);
    auto on = device("cpu");
    auto artifact = on->target().compile(graph, {});
    for (uint64_t seed : {1, 2}) {
      GraphValues inputs = random_values(graph, seed);
      expect_near(run_artifact(*on, *artifact, graph, inputs),
                  run_graph(graph, inputs, "reference"), 1e-5, str("batch ", batch));
    }
  }
}

// A part counts its examples, so a step that looks at all of them is not cut up.
TEST(CpuScan, StepsThatMixExamplesStayWhole) {
  ThreadCountScope scope(2);
  Tensor x = f32({4, 16, 3}), h = f32({16, 3}, "h"), shift = f32({16, 3}, "shift");
  auto body = [&](const std::vector<Tensor>& carries, const std::vector<Tensor>& xs) -> ScanStep {
    Tensor apart = tanh(carries[0] + xs[0] + shift);
    return {{apart - mean(apart, {0}, true)}, {apart}};
  };
  ScanResult result = scan(body, {h}, {x});
  Graph graph{{x, h, shift}, {result.carries[0], result.ys[0]}, {}};
  expect_whole(graph);
}

// Each thread would read all of them in each step.
TEST(CpuScan, LargeWeightsStayWhole) {
  ThreadCountScope scope(2);
  for (int64_t size : {1024, 1536}) {
    Tensor h = f32({16, size}, "h"), weight = f32({size, size}, "weight");
    auto body = [&](const std::vector<Tensor>& carries, const std::vector<Tensor>&) -> ScanStep {
      return {{tanh(matmul(carries[0], weight))}, {}};
    };
    Graph graph{{h, weight}, {scan(body, {h}, {}, {.length = 2}).carries[0]}, {}};
    EXPECT_EQ(loop_kernel(graph), size == 1024 ? "host:scan in 2 parts" : "host:scan");
  }
}

// A carry of twice as many rows is of no example as it comes in.
TEST(CpuScan, CarriesOfOtherRowsStayWhole) {
  ThreadCountScope scope(2);
  Tensor x = f32({4, 16, 6}), h = f32({16, 6}, "h"), m = f32({32, 3}, "m");
  auto body = [&](const std::vector<Tensor>& carries, const std::vector<Tensor>& xs) -> ScanStep {
    Tensor sum = reshape(reduce_sum(carries[1], {0, 1}), Shape{1, 1});
    Tensor next = tanh(carries[0] + xs[0] + broadcast_to(sum, h.shape()));
    return {{next, reshape(next, m.shape())}, {next}};
  };
  ScanResult result = scan(body, {h, m}, {x});
  Graph graph{{x, h, m}, {result.carries[0], result.carries[1], result.ys[0]}, {}};
  expect_whole(graph);
}

// A step in parts may run on fewer or more threads than it was made for, and twice at once. Of no
// step the carries are what came in.
TEST(CpuScan, PartsRunOnAnyThreads) {
  for (int64_t length : {0, 5}) {
    Tensor h = f32({16, 8}, "h"), weight = f32({8, 8}, "weight");
    auto body = [&](const std::vector<Tensor>& carries, const std::vector<Tensor>&) -> ScanStep {
      Tensor next = tanh(matmul(carries[0], weight));
      return {{next}, {next}};
    };
    ScanResult result = scan(body, {h}, {}, {.length = length});
    Graph graph{{h, weight}, {result.carries[0], result.ys[0]}, {}};
    GraphValues inputs = random_values(graph, 6);
    GraphValues expected = run_graph(graph, inputs, "reference");
    auto on = device("cpu");
    std::shared_ptr<const Artifact> artifact;
    {
      ThreadCountScope two(2);
      artifact = on->target().compile(graph, {});
      EXPECT_EQ(artifact->steps[0].kernel, "host:scan in 2 parts");
    }
    auto run = [&] {
      expect_near(run_artifact(*on, *artifact, graph, inputs), expected, 1e-5,
                  str("length ", length));
    };
    for (int threads : {1, 3}) {
      ThreadCountScope scope(threads);
      run();
    }
    std::thread other(run);
    run();
    other.join();
  }
}

// A captured value of the batch is cut up like the others, and one that is the same for all is not.
TEST(CpuScan, CapturesOfTheBatch) {
  ThreadCountScope scope(2);
  Tensor x = f32({4, 16, 3}), h = f32({16, 3}, "h"), shift = f32({16, 3}, "shift");
  Tensor scale = f32({1, 3}, "scale");
  auto body = [&](const std::vector<Tensor>& carries, const std::vector<Tensor>& xs) -> ScanStep {
    Tensor next = tanh(carries[0] + xs[0] + shift) * broadcast_to(scale, h.shape());
    return {{next}, {next * 2.0}};
  };
  ScanResult result = scan(body, {h}, {x});
  Graph graph{{x, h, shift, scale}, {result.carries[0], result.ys[0]}, {}};
  EXPECT_EQ(loop_kernel(graph), "host:scan in 2 parts");
  GraphValues inputs = random_values(graph, 4);
  expect_near(run_graph(graph, inputs, "cpu"), run_graph(graph, inputs, "reference"), 1e-5, "");
}

}  // namespace
}  // namespace wafer
