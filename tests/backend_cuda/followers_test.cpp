#include "tests/backend_cuda/fixture.h"
#include "tests/pass/run_graph.h"

// Products with what follows them: a residual, a bias and ReLU.
namespace wafer {
namespace {
using namespace testing;

struct Following {
  DType dtype = DType::f32;
  std::vector<int64_t> batches;
  bool bias = false, wide_bias = false, residual = false, relu = false;

  std::string text() const {
    return str(dtype, batches.empty() ? "" : ", several", bias ? ", bias" : "",
               wide_bias ? " of f32" : "", residual ? ", residual" : "", relu ? ", ReLU" : "");
  }
  Graph graph() const {
    Graph graph;
    auto input = [&](DType type, std::vector<int64_t> sizes) {
      if (sizes.size() > 1) sizes.insert(sizes.begin(), batches.begin(), batches.end());
      graph.inputs.push_back(make_input({type, Shape(sizes)}, str("x", graph.inputs.size())));
      return graph.inputs.back();
    };
    Tensor a = input(dtype, {5, 7}), b = input(dtype, {7, 9});
    Tensor y = matmul(a, b);
    if (bias) y = y + cast(input(wide_bias ? DType::f32 : dtype, {9}), dtype);
    if (residual) y = y + input(dtype, {5, 9});
    graph.outputs = {relu ? wafer::relu(y) : y};
    return graph;
  }
};

std::vector<Following> all_followers() {
  std::vector<Following> all;
  for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
    bool narrow = byte_size(dtype, 1) == 2;
    for (unsigned parts = 0; parts < 32; ++parts) {
      Following each{dtype, {}, (parts & 1) != 0, false, (parts & 2) != 0, (parts & 4) != 0};
      if ((parts & 8) != 0) each.batches = {3};
      each.wide_bias = (parts & 16) != 0;
      if (!each.wide_bias || (narrow && each.bias)) all.push_back(each);
    }
  }
  return all;
}

double limit_of(DType dtype) {
  return dtype == DType::f64 ? 1e-13 : dtype == DType::f32 ? 1e-6 : 1e-2;
}

using CudaFollowers = StubbedDevice;

TEST_F(CudaFollowers, AreTheLibrarysWhereItTakesThem) {
  uint64_t seed = 0;
  for (const Following& each : all_followers()) {
    if (each.residual && each.relu && each.dtype != DType::f32) continue;  // kernels to compile
    Graph graph = each.graph();
    GraphValues inputs = random_values(graph, ++seed);
    auto artifact = device->target().compile(graph, {});
    expect_near(run_artifact(*device, *artifact, graph, inputs),
                run_graph(graph, inputs, "reference"), limit_of(each.dtype), each.text());
    // Masks are residuals and hold -infinity: no ReLU is joined behind them.
    bool one = !(each.residual && each.relu);
    EXPECT_EQ(artifact->steps.size(), one ? 1u : 2u) << each.text();
    EXPECT_EQ(artifact->steps[0].kernel, "cuda:cublasLt") << each.text();
  }
}

TEST_F(CudaFollowers, AreAKernelOfOursWhereItDoesNot) {
  uint64_t seed = 100;
  for (bool products : {true, false}) {
    stub().blas_knows_products = products;
    stub().blas_knows_epilogues = false;
    for (const Following& each : all_followers()) {
      // Compiling kernels takes a while.
      if (!each.batches.empty() || each.dtype == DType::f16 || each.dtype == DType::f64) continue;
      if (!products && each.dtype != DType::f32) continue;
      Graph graph = each.graph();
      GraphValues inputs = random_values(graph, ++seed);
      auto artifact = device->target().compile(graph, {});
      expect_near(run_artifact(*device, *artifact, graph, inputs),
                  run_graph(graph, inputs, "reference"), limit_of(each.dtype), each.text());
      bool relu_alone = each.relu && !each.bias && !each.residual;
      if (each.bias || relu_alone) {
        EXPECT_EQ(artifact->steps[0].kernel, products ? "cuda:cublasLt+fused" : "cuda:matmul+fused")
            << each.text();
      }
    }
  }
}

// The library has no limit for ReLU, and none of its kernels reads beside y.
TEST_F(CudaFollowers, WithALimitAreAKernelOfOurs) {
  Tensor x = make_input({DType::f32, Shape{4, 8}}, "x"),
         w = make_input({DType::f32, Shape{8, 3}}, "w");
  Graph graph{{x, w}, {clamp(matmul(x, w), 0, 0.5)}, {}};
  GraphValues inputs = random_values(graph, 7);
  auto artifact = device->target().compile(graph, {});
  expect_near(run_artifact(*device, *artifact, graph, inputs),
              run_graph(graph, inputs, "reference"), 1e-6, "a limit");
  EXPECT_EQ(artifact->steps[0].kernel, "cuda:cublasLt+fused");
}

// The bias is another one in each run, of which the graph knows the address.
TEST_F(CudaFollowers, OfAGraphThatIsLaunchedAgain) {
  Following each{.bias = true, .relu = true};
  Graph graph = each.graph();
  auto artifact = device->target().compile(graph, {});
  for (uint64_t seed = 0; seed < 4; ++seed) {
    GraphValues inputs = random_values(graph, seed);
    expect_near(run_artifact(*device, *artifact, graph, inputs),
                run_graph(graph, inputs, "reference"), 1e-6, "a run");
  }
}

}  // namespace
}  // namespace wafer
