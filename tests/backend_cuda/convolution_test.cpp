#include <algorithm>

#include "tests/backend_cuda/fixture.h"
#include "tests/backend_cuda/reference.h"
#include "tests/pass/run_graph.h"
#include "tests/text.h"
#include "wafer/backend/cuda/dnn.h"
#include "wafer/op/conv.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/pool.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/precision.h"
#include "wafer/tensor/grad.h"
#include "wafer/tensor/jit.h"

// Convolutions by cuDNN, on its stub.
namespace wafer {
namespace {
using kernel::ConvolutionProblem;
using testing::DriverStub;
using testing::GraphValues;
using tests::contains;

class CudaConvolutions : public testing::StubbedDevice {
 protected:
  static std::vector<float> some(size_t count) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = 0.125f * static_cast<float>(i % 23) - 1;
    return values;
  }
  // Calls of the library that begin so: with the engine, then what follows the convolution.
  static size_t convolved(const std::string& how) {
    const auto& calls = stub().calls;
    return static_cast<size_t>(std::count_if(
        calls.begin(), calls.end(),
        [&](const std::string& call) { return call.starts_with("convolve " + how); }));
  }
  // Steps that a kernel computes.
  static int64_t count_of(const std::string& kernel, const Artifact& artifact) {
    return std::count_if(artifact.steps.begin(), artifact.steps.end(),
                         [&](const StepInfo& step) { return step.kernel == kernel; });
  }
  // A step of training a convolution: the weight goes in and out in place.
  static Graph train_step() {
    Tensor x = make_input({DType::f32, Shape{2, 3, 6, 6}}, "x");
    Tensor weight = make_input({DType::f32, Shape{4, 3, 3, 3}}, "weight");
    Tensor second = make_input({DType::f32, Shape{2, 4, 3, 3}}, "second");
    Tensor y = conv(tanh(conv(x, weight, {}, {.padding = {1}})), second, {}, {.stride = {2}});
    Tensor loss = reduce_sum(y * y, {0, 1, 2, 3}) * 0.01;
    std::vector<Tensor> gradients = grad(loss, {weight, second});
    return Graph{{x, weight, second},
                 {weight - gradients[0] * 0.01, second - gradients[1] * 0.01, loss},
                 {1, 2, -1}};
  }
  static std::vector<float> losses(Device& on, int steps) {
    auto artifact = on.target().compile(train_step(), {});
    auto put = [&](const std::vector<float>& values) {
      auto memory = on.allocate(values.size() * 4);
      on.copy_from_host(values.data(), *memory, values.size() * 4);
      return memory;
    };
    std::vector<std::shared_ptr<Storage>> inputs = {put(some(216)), put(some(108)), put(some(72))};
    std::vector<float> result;
    for (int step = 0; step < steps; ++step) {
      auto loss = execute(on, *artifact, inputs)[2];
      result.emplace_back();
      on.copy_to_host(*loss, &result.back(), 4);
    }
    return result;
  }
  static ConvolutionProblem::Value value(std::vector<int64_t> sizes, bool channels_last) {
    ConvolutionProblem::Value v{sizes, sizes};
    std::vector<size_t> order =
        channels_last ? std::vector<size_t>{1, 3, 2, 0} : std::vector<size_t>{3, 2, 1, 0};
    int64_t distance = 1;
    for (size_t d : order) {
      v.strides[d] = distance;
      distance *= sizes[d];
    }
    return v;
  }
  static ConvolutionProblem problem(ConvolutionProblem::Computes computes, bool channels_last) {
    return {.computes = computes,
            .dtype = DType::f32,
            .x = value({2, 4, 5, 6}, channels_last),
            .weight = value({6, 2, 3, 2}, channels_last),
            .y = value({2, 6, 5, 3}, channels_last),
            .stride = {1, 2},
            .padding_low = {1, 0},
            .padding_high = {1, 1},
            .dilation = {1, 1},
            .groups = 2};
  }
  // Elements row by row, as they lie by the strides and back.
  static std::vector<float> laid(const std::vector<float>& values,
                                 const ConvolutionProblem::Value& as, bool back) {
    std::vector<float> result(values.size());
    const auto &n = as.sizes, &s = as.strides;
    size_t at = 0;
    for (int64_t a = 0; a < n[0]; ++a)
      for (int64_t b = 0; b < n[1]; ++b)
        for (int64_t c = 0; c < n[2]; ++c)
          for (int64_t d = 0; d < n[3]; ++d, ++at) {
            auto there = static_cast<size_t>(a * s[0] + b * s[1] + c * s[2] + d * s[3]);
            back ? result[at] = values[there] : result[there] = values[at];
          }
    return result;
  }
};

TEST_F(CudaConvolutions, ComputeAsTheReferenceInEachDtype) {
  for (size_t turn = 0; turn < 4; ++turn) {
    testing::compare_with_reference(
        device, [](const std::string& op) { return op.rfind("conv", 0) == 0; }, turn);
  }
  // f32 by the engine without TF32, the narrow ones by tensor cores, and none by an engine that is
  // not exact, differs from run to run, needs too much memory, or makes no plan.
  size_t plain = convolved("by plain"), tensor_cores = convolved("by tensor cores");
  EXPECT_GT(plain, 30u);
  EXPECT_GT(tensor_cores, 60u);
  EXPECT_EQ(convolved(""), plain + tensor_cores);
  EXPECT_GT(stub().count("multiply"), 0u);  // f64
}

TEST_F(CudaConvolutions, ATrainStepIsOneGraphThatIsLaunchedAgain) {
  std::vector<float> expected = losses(*wafer::device("cpu"), 6);
  std::vector<float> got = losses(*device, 6);
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], 1e-4f * (1 + expected[i])) << "step " << i;
  EXPECT_EQ(stub().count("capture"), 1u);
  EXPECT_EQ(stub().count("launch graph"), 5u);
  // Two forward, one by the input, two by the weights: once by themselves and once captured.
  EXPECT_EQ(convolved("by plain"), 2 * 5u);
}

TEST_F(CudaConvolutions, WhatTheLibraryDoesNotComputeProductsDo) {
  start({});
  std::vector<float> expected = losses(*device, 3);
  for (bool DriverStub::*able :
       {&DriverStub::dnn_starts, &DriverStub::dnn_takes_tensors, &DriverStub::dnn_knows_engines}) {
    start({});
    stub().*able = false;
    std::vector<float> got = losses(*device, 3);
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_NEAR(got[i], expected[i], 1e-4f * (1 + expected[i])) << "step " << i;
    EXPECT_EQ(convolved("by plain"), 0u);
  }
}

TEST_F(CudaConvolutions, TheLastWaysAreAskedForWhereTheHeuristicsRefuse) {
  start({});
  stub().dnn_heuristics_answer = false;
  Tensor x = make_input({DType::bf16, Shape{1, 2, 5, 5}}, "x");
  Tensor weight = make_input({DType::bf16, Shape{2, 2, 3, 3}}, "weight");
  auto artifact = device->target().compile(Graph{{x, weight}, {conv(x, weight, {})}, {}}, {});
  EXPECT_EQ(count_of("cuda:cudnn", *artifact), 1);
}

TEST_F(CudaConvolutions, EqualOnesArePlannedOnce) {
  ConvolutionProblem p = problem(ConvolutionProblem::Computes::y, false);
  auto first = context->library_convolution(p);
  EXPECT_EQ(context->library_convolution(p), first);
  p.computes = ConvolutionProblem::Computes::x;
  EXPECT_NE(context->library_convolution(p), first);
}

TEST_F(CudaConvolutions, OtherLayoutsAreOtherStrides) {
  using Computes = ConvolutionProblem::Computes;
  for (Computes computes : {Computes::y, Computes::x, Computes::weight}) {
    std::vector<float> results[2];
    for (bool channels_last : {false, true}) {
      ConvolutionProblem p = problem(computes, channels_last);
      auto convolution = context->library_convolution(p);
      ASSERT_TRUE(convolution);
      auto x = upload(laid(some(240), p.x, false)), y = upload(laid(some(180), p.y, false));
      auto weight = upload(laid(some(72), p.weight, false));
      auto workspace = device->allocate(convolution->workspace_bytes() + 64);
      convolution->launch({x->data(), weight->data(), y->data()},
                          static_cast<std::byte*>(workspace->data()) + 64, "a test");
      const auto& result = computes == Computes::y ? y : computes == Computes::x ? x : weight;
      const auto& value = computes == Computes::y ? p.y : computes == Computes::x ? p.x : p.weight;
      results[channels_last] = laid(download(*result), value, true);
    }
    EXPECT_EQ(results[0], results[1]);
  }
}

// A convolution with what follows it.
struct Followed {
  DType dtype = DType::f32;
  std::vector<int64_t> image, window;
  bool bias = false, wide_bias = false, residual = false, relu = false;
  double limit = HUGE_VAL;

  std::string text() const {
    return str(dtype, ", ", image.size(), " dimensions", bias ? ", bias" : "",
               wide_bias ? " of f32" : "", residual ? ", residual" : "", relu ? ", ReLU" : "",
               limit < HUGE_VAL ? " with a limit" : "");
  }
  Graph graph() const {
    Graph graph;
    auto input = [&](DType type, const std::vector<int64_t>& sizes) {
      graph.inputs.push_back(make_input({type, Shape(sizes)}, str("x", graph.inputs.size())));
      return graph.inputs.back();
    };
    std::vector<int64_t> x = {2, 3}, weight = {5, 3}, each(image.size() + 1, 1);
    x.insert(x.end(), image.begin(), image.end());
    weight.insert(weight.end(), window.begin(), window.end());
    each[0] = 5;
    Tensor y = conv(input(dtype, x), input(dtype, weight), {},
                    {.padding = std::vector<int64_t>(image.size(), 1)});
    if (bias) y = y + cast(reshape(input(wide_bias ? DType::f32 : dtype, {5}), each), dtype);
    if (residual) y = y + input(dtype, y.shape().sizes());
    if (relu) y = limit < HUGE_VAL ? clamp(y, 0, limit) : wafer::relu(y);
    graph.outputs = {y};
    return graph;
  }
};

TEST_F(CudaConvolutions, WhatFollowsABiasIsTheLibrarys) {
  uint64_t seed = 0;
  for (DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (unsigned parts = 0; parts < 8; ++parts) {
      Followed each{dtype, {5, 4}, {3, 2}};
      each.bias = (parts & 1) != 0;
      each.residual = (parts & 2) != 0;
      each.relu = (parts & 4) != 0;
      each.wide_bias = dtype != DType::f32 && parts == 5;
      // Kernels to compile.
      if (dtype == DType::f16 && parts != 7) continue;
      if (dtype == DType::bf16 && !each.bias && parts != 6) continue;
      Graph graph = each.graph();
      GraphValues inputs = testing::random_values(graph, ++seed);
      auto artifact = device->target().compile(graph, {});
      testing::expect_near(testing::run_artifact(*device, *artifact, graph, inputs),
                           testing::run_graph(graph, inputs, "reference"),
                           dtype == DType::f32 ? 1e-6 : 1e-2, each.text());
      bool own = !each.bias && (each.residual || each.relu);
      EXPECT_EQ(count_of(own ? "cuda:cudnn+fused" : "cuda:cudnn", *artifact), 1) << each.text();
      EXPECT_EQ(count_of("cuda:fused", *artifact), 0) << each.text();
    }
  }
  EXPECT_EQ(convolved("by tensor cores, residual, bias, ReLU"), 2u);
  EXPECT_EQ(convolved("by plain, residual, bias, ReLU"), 1u);
}

TEST_F(CudaConvolutions, WhatFollowsIsAKernelOfOursWhereTheLibraryHasNone) {
  Followed limited{DType::f32, {6}, {3}, true};
  limited.relu = true;
  limited.limit = 0.5;
  Followed refused{DType::bf16, {3, 3, 4}, {2, 1, 3}, true, true, true, true};
  for (const Followed& each : {limited, refused}) {
    stub().dnn_knows_followers = each.limit < HUGE_VAL;
    Graph graph = each.graph();
    GraphValues inputs = testing::random_values(graph, 5);
    auto artifact = device->target().compile(graph, {});
    testing::expect_near(testing::run_artifact(*device, *artifact, graph, inputs),
                         testing::run_graph(graph, inputs, "reference"),
                         each.dtype == DType::f32 ? 1e-6 : 1e-2, each.text());
    EXPECT_EQ(count_of("cuda:cudnn+fused", *artifact), 1) << each.text();
  }
}

// Loss and gradients of convolutions and pools.
Graph narrow_step(DType dtype) {
  return apply_precision(testing::cnn_gradients(3, 3),
                         dtype == DType::bf16 ? Precision::bf16 : Precision::f16);
}

TEST_F(CudaConvolutions, NarrowOnesLieChannelsLastAndWideOnesRowByRow) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    Graph graph = dtype == DType::f32 ? testing::cnn_gradients(3, 3) : narrow_step(dtype);
    GraphValues inputs = testing::random_values(graph, 11);
    auto artifact = device->target().compile(graph, {});
    testing::expect_near(testing::run_artifact(*device, *artifact, graph, inputs),
                         testing::run_graph(graph, inputs, "reference"),
                         dtype == DType::f32 ? 1e-5 : 3e-2, str(dtype));
    std::string reordered;
    for (const StepInfo& step : artifact->steps) {
      if (step.op == "reorder") reordered += str(step.node->outputs[0], " ");
    }
    // The images in, and the features before and behind the linear layers.
    EXPECT_EQ(reordered, dtype == DType::f32 ? ""
                                             : "bf16[3x3x8x8]:channels_last bf16[3x8x4x4] "
                                               "bf16[3x8x4x4]:channels_last ");
  }
}

TEST_F(CudaConvolutions, ChannelsLastIsRightWithoutTheLibraryToo) {
  stub().dnn_knows_engines = false;
  Graph graph = narrow_step(DType::f16);
  GraphValues inputs = testing::random_values(graph, 12);
  testing::expect_near(
      testing::run_artifact(*device, *device->target().compile(graph, {}), graph, inputs),
      testing::run_graph(graph, inputs, "reference"), 1e-2, "f16");
  EXPECT_EQ(convolved(""), 0u);
}

// Pools between convolutions: windows that overlap, leave places out and reach over the edge.
TEST_F(CudaConvolutions, PoolsReadChannelsLast) {
  Tensor x = make_input({DType::bf16, Shape{2, 3, 9, 7}}, "x");
  Tensor weight = make_input({DType::bf16, Shape{4, 3, 1, 1}}, "weight");
  Tensor y = conv(x, weight, {});
  PoolOptions windows{.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}, .dilation = {2, 1}};
  Tensor greatest = max_pool(y, windows);
  windows.dilation = {1};
  Tensor mean = avg_pool(y, windows);
  Tensor loss = reduce_sum(cast(greatest * greatest, DType::f32), {0, 1, 2, 3}) +
                reduce_sum(cast(mean * mean, DType::f32), {0, 1, 2, 3});
  Graph graph{{x, weight}, grad(loss, {x, weight}), {}};
  graph.outputs.push_back(mean);
  GraphValues inputs = testing::random_values(graph, 13);
  auto artifact = device->target().compile(graph, {});
  testing::expect_near(testing::run_artifact(*device, *artifact, graph, inputs),
                       testing::run_graph(graph, inputs, "reference"), 1e-2, "pools");
}

TEST_F(CudaConvolutions, TheWorkspaceIsPartOfThePlan) {
  Tensor x = make_input({DType::bf16, Shape{1, 2, 5, 5}}, "x");
  Tensor weight = make_input({DType::bf16, Shape{2, 2, 3, 3}}, "weight");
  auto artifact = device->target().compile(Graph{{x, weight}, {conv(x, weight, {})}, {}}, {});
  EXPECT_EQ(count_of("cuda:cudnn", *artifact), 1);
  EXPECT_GE(artifact->memory.arena, 4096u);
}

TEST_F(CudaConvolutions, APlanOutlivesItsWork) {
  Tensor x = make_input({DType::f32, Shape{1, 2, 5, 5}}, "x");
  Tensor weight = make_input({DType::f32, Shape{2, 2, 3, 3}}, "weight");
  for (int runs : {1, 3}) {
    auto artifact = device->target().compile(Graph{{x, weight}, {conv(x, weight, {})}, {}}, {});
    std::vector<std::shared_ptr<Storage>> inputs = {upload(some(50)), upload(some(36))};
    std::shared_ptr<Storage> result;
    for (int run = 0; run < runs; ++run) result = execute(*device, *artifact, inputs)[0];
    artifact.reset();
    download(*result);
  }
}

TEST_F(CudaConvolutions, ErrorsNameTheNode) {
  Tensor x = make_input({DType::f32, Shape{1, 2, 5, 5}}, "x");
  Tensor weight = make_input({DType::f32, Shape{2, 2, 3, 3}}, "weight");
  Graph graph;
  {
    PathScope scope = PathScope::whole("net.conv1");
    graph = Graph{{x, weight}, {conv(x, weight, {})}, {}};
  }
  auto artifact = device->target().compile(graph, {});
  std::vector<std::shared_ptr<Storage>> inputs = {upload(some(50)), upload(some(36))};
  stub().dnn_executes = false;
  std::string text;
  try {
    execute(*device, *artifact, inputs);
  } catch (const InternalError& error) {
    text = error.what();
  }
  EXPECT_TRUE(contains(text, "cuDNN") && contains(text, "net.conv1") && contains(text, "conv of"))
      << text;
}

// The stub holds our calls against the library's rules; that it does is seen here.
TEST_F(CudaConvolutions, TheStubRefusesWhatTheLibraryWould) {
  cuda::DnnDescriptor tensor(*stub().dnn(), CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  auto refused = [](auto&& call) {
    size_t before = stub().violations.size();
    try {
      call();
    } catch (const cuda::DnnRefusal&) {
      bool seen = stub().violations.size() == before + 1;
      stub().violations.resize(before);
      return seen;
    }
    return false;
  };
  EXPECT_TRUE(refused([&] { tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1.0f); }));
  EXPECT_TRUE(refused([&] { tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, int64_t{3}); }));
  EXPECT_TRUE(refused([&] { tensor.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A); }));
  EXPECT_TRUE(refused([&] { tensor.finalize(); }));
  cuda::DnnDescriptor graph(*stub().dnn(), CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  EXPECT_TRUE(refused([&] { graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, tensor); }));
  ConvolutionProblem wrong = problem(ConvolutionProblem::Computes::y, false);
  wrong.y.sizes[3] = 4;
  EXPECT_EQ(context->library_convolution(wrong), nullptr);
  EXPECT_EQ(stub().violations.size(), 1u);
  stub().violations.clear();
}

}  // namespace
}  // namespace wafer
