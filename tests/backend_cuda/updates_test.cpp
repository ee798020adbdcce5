#include "tests/backend_cuda/fixture.h"
#include "tests/pass/run_graph.h"
#include "wafer/op/reduce.h"

// Updates of weights that run as one kernel.
namespace wafer {
namespace {
using namespace testing;

class CudaUpdates : public StubbedDevice {
 protected:
  // Runs the graph some times, its aliased outputs becoming its inputs, here and on the reference.
  std::shared_ptr<const Artifact> compare(const Graph& graph, uint64_t seed) {
    auto artifact = device->target().compile(graph, {});
    auto reference = wafer::device("reference");
    auto expected_artifact = reference->target().compile(graph, {});
    GraphValues got = random_values(graph, seed), expected = got;
    for (int run = 0; run < 3; ++run) {
      GraphValues results = run_artifact(*device, *artifact, graph, got);
      GraphValues wanted = run_artifact(*reference, *expected_artifact, graph, expected);
      expect_near(results, wanted, 1e-6, str("run ", run));
      for (size_t i = 0; i < graph.outputs.size(); ++i) {
        if (graph.alias_of(i) < 0) continue;
        got[static_cast<size_t>(graph.alias_of(i))] = results[i];
        expected[static_cast<size_t>(graph.alias_of(i))] = wanted[i];
      }
    }
    return artifact;
  }
};

Tensor values(const char* name, int64_t size, DType dtype = DType::f32) {
  return make_input({dtype, Shape{size}}, name);
}

TEST_F(CudaUpdates, OfSmallWeightsAreOneKernel) {
  Tensor rate = make_input({DType::f32, Shape{}}, "rate");
  Graph graph{{rate}, {}, {}};
  for (int64_t size : {1, 300, 17}) {
    Tensor weight = values("weight", size), momentum = values("momentum", size);
    Tensor narrow = values("narrow", size, DType::bf16);
    Tensor next = momentum * 0.5 + cast(narrow, DType::f32);
    graph.outputs.push_back(weight - next * broadcast_to(rate, {size}));
    graph.outputs.push_back(next);
    for (const Tensor& each : {weight, momentum}) {
      graph.alias.push_back(static_cast<int>(graph.inputs.size()));
      graph.inputs.push_back(each);
    }
    graph.inputs.push_back(narrow);
  }
  auto artifact = compare(graph, 1);
  EXPECT_EQ(artifact->steps.size(), 1u);
  EXPECT_EQ(artifact->steps[0].kernel, "cuda:fused");
  EXPECT_EQ(artifact->memory.arena, 0u);  // all of them in place
}

// Groups of a kernel run at the same time: what one reads another must not write.
TEST_F(CudaUpdates, TakeOverWhatTheirOwnGroupReadsAlone) {
  Tensor a = values("a", 300), b = values("b", 300);
  auto apart = compare(Graph{{a, b}, {a * 2.0 + 1.0, b * 0.5 - 1.0}, {0, 1}}, 2);
  EXPECT_EQ(apart->steps.size(), 1u);
  EXPECT_EQ(apart->memory.arena, 0u);
  auto crossed = compare(Graph{{a, b}, {a * 2.0 + 1.0, b * 0.5 - a}, {0, 1}}, 3);
  EXPECT_GT(crossed->memory.arena, 0u);
}

TEST_F(CudaUpdates, OfDifferentShapesAndDtypes) {
  Tensor a = make_input({DType::f32, Shape{3, 5}}, "a"), b = values("b", 7, DType::i32);
  Tensor c = make_input({DType::f64, Shape{2, 1}}, "c"),
         d = make_input({DType::f32, Shape{5}}, "d");
  Graph graph{{a, b, c, d},
              {a * broadcast_to(d, {3, 5}) + 1.0, b * b + b, exp(c) * c, reduce_sum(a, {0, 1})},
              {}};
  EXPECT_EQ(compare(graph, 4)->steps.size(), 2u);
}

}  // namespace
}  // namespace wafer
