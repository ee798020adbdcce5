#include "tests/backend_cuda/fixture.h"
#include "tests/backend_cuda/reference.h"
#include "tests/text.h"
#include "wafer/backend/cuda/dnn.h"
#include "wafer/op/conv.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/reduce.h"
#include "wafer/tensor/grad.h"
#include "wafer/tensor/jit.h"

// Convolutions by cuDNN, on its stub.
namespace wafer {
namespace {
using kernel::ConvolutionProblem;
using testing::DriverStub;
using tests::contains;

class CudaConvolutions : public testing::StubbedDevice {
 protected:
  static std::vector<float> some(size_t count) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = 0.125f * static_cast<float>(i % 23) - 1;
    return values;
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
  size_t plain = stub().count("convolve by plain");
  size_t tensor_cores = stub().count("convolve by tensor cores");
  EXPECT_GT(plain, 30u);
  EXPECT_GT(tensor_cores, 60u);
  size_t all = 0;
  for (const std::string& call : stub().calls) all += contains(call, "convolve by");
  EXPECT_EQ(all, plain + tensor_cores);
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
  EXPECT_EQ(stub().count("convolve by plain"), 2 * 5u);
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
    EXPECT_EQ(stub().count("convolve by plain"), 0u);
  }
}

TEST_F(CudaConvolutions, TheLastWaysAreAskedForWhereTheHeuristicsRefuse) {
  start({});
  stub().dnn_heuristics_answer = false;
  Tensor x = make_input({DType::bf16, Shape{1, 2, 5, 5}}, "x");
  Tensor weight = make_input({DType::bf16, Shape{2, 2, 3, 3}}, "weight");
  auto artifact = device->target().compile(Graph{{x, weight}, {conv(x, weight, {})}, {}}, {});
  EXPECT_EQ(artifact->steps[0].kernel, "cuda:cudnn");
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
      convolution->launch(x->data(), weight->data(), y->data(),
                          static_cast<std::byte*>(workspace->data()) + 64, "a test");
      const auto& result = computes == Computes::y ? y : computes == Computes::x ? x : weight;
      const auto& value = computes == Computes::y ? p.y : computes == Computes::x ? p.x : p.weight;
      results[channels_last] = laid(download(*result), value, true);
    }
    EXPECT_EQ(results[0], results[1]);
  }
}

TEST_F(CudaConvolutions, TheWorkspaceIsPartOfThePlan) {
  Tensor x = make_input({DType::bf16, Shape{1, 2, 5, 5}}, "x");
  Tensor weight = make_input({DType::bf16, Shape{2, 2, 3, 3}}, "weight");
  auto artifact = device->target().compile(Graph{{x, weight}, {conv(x, weight, {})}, {}}, {});
  EXPECT_EQ(artifact->steps[0].kernel, "cuda:cudnn");
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
