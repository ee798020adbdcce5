#include "wafer/backend/cuda/device.h"

#include "tests/backend_cuda/fixture.h"
#include "tests/backend_cuda/reference.h"
#include "tests/text.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/tensor/grad.h"
#include "wafer/tensor/jit.h"

namespace wafer {
namespace {
using testing::compare_with_reference;
using testing::DriverStub;
using tests::contains;
using tests::message_of;

class Cuda : public testing::StubbedDevice {};

std::vector<float> counting(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = 0.25f * static_cast<float>(i % 37) - 3;
  return values;
}

// A step of training by hand: weights and momentum go in and out in place, a batch goes in, the
// loss comes out.
struct TrainStep {
  Graph graph;
  TrainStep() {
    Tensor x = make_input({DType::f32, Shape{8, 6}}, "x");
    Tensor y = make_input({DType::f32, Shape{8, 3}}, "y");
    Tensor w = make_input({DType::f32, Shape{6, 3}}, "w");
    Tensor m = make_input({DType::f32, Shape{6, 3}}, "m");
    Tensor difference = matmul(x, w) - y;
    Tensor loss = reduce_sum(difference * difference, {0, 1}) * (1.0 / 24);
    Tensor moved = m * 0.9 + grad(loss, {w})[0];
    graph = Graph{{x, y, w, m}, {w - moved * 0.05, moved, loss}, {2, 3, -1}};
  }
  // Losses of `steps` steps on batches that lie elsewhere each time.
  static std::vector<float> batch(int step, size_t count) {
    std::vector<float> values = counting(count + static_cast<size_t>(step) * 5);
    return {values.end() - static_cast<std::ptrdiff_t>(count), values.end()};
  }
  std::vector<float> losses(Device& device, int steps) const {
    auto artifact = device.target().compile(graph, {});
    auto put = [&](const std::vector<float>& values) {
      auto memory = device.allocate(values.size() * 4);
      device.copy_from_host(values.data(), *memory, values.size() * 4);
      return memory;
    };
    auto w = put(counting(18)), m = put(std::vector<float>(18));
    std::vector<std::shared_ptr<Storage>> kept, losses;
    for (int step = 0; step < steps; ++step) {
      // What came before stays, so that nothing lies where it lay.
      auto x = put(batch(step, 48)), y = put(batch(step, 24));
      kept.insert(kept.end(), {x, y});
      std::vector<std::shared_ptr<Storage>> inputs = {x, y, w, m};
      losses.push_back(execute(device, *artifact, inputs)[2]);
    }
    std::vector<float> values(losses.size());
    for (size_t i = 0; i < losses.size(); ++i) device.copy_to_host(*losses[i], &values[i], 4);
    return values;
  }
};

TEST_F(Cuda, ATrainStepIsOneGraphThatIsLaunchedAgain) {
  TrainStep step;
  std::vector<float> expected = step.losses(*wafer::device("cpu"), 7);
  std::vector<float> got = step.losses(*device, 7);
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], 1e-5f * (1 + expected[i])) << "step " << i;
  // The first step runs by itself; batch and loss have moved by the second, which is captured.
  EXPECT_EQ(stub().count("capture"), 1u);
  EXPECT_EQ(stub().count("launch graph"), 6u);
}

TEST_F(Cuda, TheSameWithEachBlockFromTheDriver) {
  start({.chunked = false, .check = false});
  TrainStep step;
  std::vector<float> expected = step.losses(*wafer::device("cpu"), 4);
  std::vector<float> got = step.losses(*device, 4);
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], 1e-5f * (1 + expected[i])) << "step " << i;
}

TEST_F(Cuda, StepsAreEnqueuedWithoutWaiting) {
  TrainStep step;
  auto artifact = device->target().compile(step.graph, {});
  auto w = upload(counting(18)), m = upload(counting(18));
  std::vector<std::shared_ptr<Storage>> results;
  device->synchronize();
  size_t waits = stub().count("wait");
  for (int turn = 0; turn < 5; ++turn) {
    std::vector<std::shared_ptr<Storage>> inputs = {upload(counting(48)), upload(counting(24)), w,
                                                    m};
    results.push_back(execute(*device, *artifact, inputs)[2]);
  }
  EXPECT_EQ(stub().count("wait"), waits);
  device->synchronize();
}

TEST_F(Cuda, AnArtifactMayGoBeforeItsWorkIsDone) {
  Tensor x = make_input({DType::f32, Shape{50}}, "x");
  std::shared_ptr<Storage> result;
  for (int runs : {1, 3}) {
    auto artifact = device->target().compile(Graph{{x}, {x * 2.0}, {}}, {});
    std::vector<std::shared_ptr<Storage>> inputs = {upload(std::vector<float>(50, 4))};
    for (int run = 0; run < runs; ++run) result = execute(*device, *artifact, inputs)[0];
    artifact.reset();
    inputs.clear();
    EXPECT_EQ(download(*result), std::vector<float>(50, 8));
  }
}

TEST_F(Cuda, AStateThatMovesIsCapturedAgain) {
  Tensor state = make_input({DType::f32, Shape{100}}, "state");
  auto artifact = device->target().compile(Graph{{state}, {state * 2.0 + 1.0}, {0}}, {});
  for (int turn = 0; turn < 3; ++turn) {
    std::vector<std::shared_ptr<Storage>> inputs = {upload(std::vector<float>(100, 1))};
    auto other = upload(counting(100));  // takes the place that the next state would have
    for (int run = 0; run < 3; ++run) EXPECT_EQ(execute(*device, *artifact, inputs)[0], inputs[0]);
    EXPECT_EQ(download(*inputs[0]), std::vector<float>(100, 15));
    EXPECT_EQ(download(*other), counting(100));
  }
}

TEST_F(Cuda, LoopsAndBranchesRunStepByStep) {
  Tensor start = make_input({DType::f32, Shape{}}, "x");
  Tensor doubled = while_loop(
      [](const std::vector<Tensor>& s) { return less(s[0], 100.0); },
      [](const std::vector<Tensor>& s) { return std::vector<Tensor>{s[0] * 2.0}; }, {start})[0];
  Tensor chosen = if_else(
      less(start, 4.0), [&] { return std::vector<Tensor>{doubled + 1.0}; },
      [&] { return std::vector<Tensor>{doubled - 1.0}; })[0];
  auto artifact = device->target().compile(Graph{{start}, {chosen}, {}}, {});
  for (auto [from, to] :
       {std::pair{3.0f, 193.0f}, {5.0f, 159.0f}, {3.0f, 193.0f}, {7.0f, 111.0f}}) {
    std::vector<std::shared_ptr<Storage>> inputs = {upload({from})};
    EXPECT_EQ(download(*execute(*device, *artifact, inputs)[0])[0], to);
  }
  EXPECT_EQ(stub().count("capture"), 1u);  // tried once
  EXPECT_EQ(stub().count("launch graph"), 0u);
}

TEST_F(Cuda, AnObserverSeesEachStepWithItsTimeAndValues) {
  Tensor x = make_input({DType::f32, Shape{16, 16}}, "x");
  Graph graph{{x}, {reduce_sum(matmul(x, x), {1})}, {}};
  auto artifact = device->target().compile(graph, {});
  std::vector<std::shared_ptr<Storage>> inputs = {upload(std::vector<float>(256, 1))};
  size_t seen = 0;
  RunObserver observer = [&](const StepResult& step) {
    EXPECT_EQ(step.step, seen++);
    EXPECT_EQ(step.seconds, 1e-3);  // what the stub's events say
    EXPECT_EQ(*static_cast<const float*>(step.output(0)), step.node.is(op::matmul) ? 16 : 256);
  };
  execute(*device, *artifact, inputs, &observer);
  EXPECT_EQ(seen, artifact->steps.size());
  EXPECT_EQ(artifact->steps[0].kernel, "cuda:cublasLt");
}

TEST_F(Cuda, ErrorsNameTheNode) {
  Tensor x = make_input({DType::f32, Shape{16}}, "x");
  Graph graph;
  {
    PathScope scope = PathScope::whole("net.scale");
    graph = Graph{{x}, {exp(x)}, {}};
  }
  auto artifact = device->target().compile(graph, {});
  std::vector<std::shared_ptr<Storage>> inputs = {upload(counting(16))};
  stub().next_launch_result = CUDA_ERROR_LAUNCH_FAILED;
  std::string text;
  try {
    execute(*device, *artifact, inputs);
  } catch (const InternalError& error) {
    text = error.what();
  }
  EXPECT_TRUE(contains(text, "net.scale") && contains(text, "exp of f32[16]")) << text;
}

TEST_F(Cuda, TooLittleMemoryIsTheUsersToMend) {
  auto held = device->allocate(size_t{100} << 20);
  device->allocate(size_t{800} << 20);  // given back, and to the driver where that helps
  auto another = device->allocate(size_t{850} << 20);
  std::string text = message_of([&] { device->allocate(size_t{600} << 20); });
  EXPECT_TRUE(contains(text, "no room for 600") && contains(text, "smaller batch")) << text;
}

TEST_F(Cuda, CheckingWaitsAfterEachPieceOfWork) {
  start({.chunked = true, .check = true});
  TrainStep step;
  step.losses(*device, 3);
  EXPECT_EQ(stub().count("launch graph"), 0u);
  EXPECT_GE(stub().count("wait"), stub().count("launch"));
}

TEST_F(Cuda, CompiledKernelsAreKeptInTheCacheFolder) {
  TrainStep step;
  std::vector<float> first = step.losses(*device, 2);
  EXPECT_GT(stub().count("compile"), 0u);
  start({});
  EXPECT_EQ(step.losses(*device, 2), first);
  EXPECT_EQ(stub().count("compile"), 0u);
}

TEST_F(Cuda, EveryOpComputesAsTheReference) {
  start({}, true, false, false);
  compare_with_reference(
      device, [](const std::string&) { return true; }, 0);
  EXPECT_EQ(stub().count("multiply"), 0u);
}

// Products and what is made of them, by cuBLASLt, in each dtype of each case.
TEST_F(Cuda, TheLibrarysProductsComputeAsTheReference) {
  start({}, true, true, false);
  for (size_t turn = 0; turn < 4; ++turn) {
    compare_with_reference(
        device,
        [](const std::string& op) {
          return op == "matmul" || op == "conv" || op == "conv_input_gradient";
        },
        turn);
  }
  EXPECT_GT(stub().count("multiply"), 20u);
}

TEST_F(Cuda, WhatTheLibraryDoesNotComputeOurKernelsDo) {
  for (bool starts : {true, false}) {
    start({});
    (starts ? stub().blas_knows_products : stub().blas_starts) = false;
    Tensor x = make_input({DType::f32, Shape{16, 16}}, "x");
    auto artifact = device->target().compile(Graph{{x}, {matmul(x, x)}, {}}, {});
    EXPECT_EQ(artifact->steps[0].kernel, "cuda:matmul");
    std::vector<std::shared_ptr<Storage>> inputs = {upload(std::vector<float>(256, 1))};
    EXPECT_EQ(download(*execute(*device, *artifact, inputs)[0]), std::vector<float>(256, 16));
    artifact.reset();
    inputs.clear();
  }
}

TEST_F(Cuda, TheLibrarysWorkspaceIsPartOfThePlan) {
  Tensor x = make_input({DType::f32, Shape{16, 16}}, "x");
  auto artifact = device->target().compile(Graph{{x}, {matmul(x, x)}, {}}, {});
  EXPECT_EQ(artifact->memory.kept, cuda::Context::workspace_bytes / 2);
}

}  // namespace
}  // namespace wafer
