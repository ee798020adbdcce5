#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/backend_opencl/device.h"
#include "tests/io/helpers.h"
#include "tests/text.h"
#include "wafer/kernel/device/target.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/lower.h"
#include "wafer/tensor/eval.h"
#include "wafer/tensor/jit.h"

namespace wafer {
namespace {
using tests::contains;
using tests::message_of;

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = 0.25f * static_cast<float>(i % 37) - 3;
  return Tensor::from_values(values, shape);
}

// A target with capabilities of the test's choice, which never gets as far as compiling.
class Limited : public Target {
 public:
  std::string name() const override { return "opencl:0"; }
  Support supports(const Node& node) const override {
    return kernel::supports(node, name(), {.f64 = false});
  }
  std::shared_ptr<const Artifact> compile(const Graph&, const CompileOptions&) const override {
    return nullptr;
  }
};

TEST(OpenClSupport, WhatADeviceLacksIsAnErrorThatNamesNodeOpDtypeAndDevice) {
  Tensor x = make_input({DType::f64, Shape{4, 3}}, "x");
  Graph graph;
  {
    PathScope scope = PathScope::whole("net.scale");
    graph = Graph{{x}, {x * x}, {}};
  }
  std::string text = message_of([&] { lower(graph, Limited(), {}); });
  for (const char* part : {"mul", "net.scale", "f64", "opencl:0"})
    EXPECT_TRUE(contains(text, part)) << part << " in: " << text;
}

TEST(OpenCl, ValuesStayOnTheDevice) {
  WAFER_OPENCL_OR_SKIP(opencl);
  Tensor x = counting({70, 33}), y = counting({33, 50});
  Tensor product = matmul(x, y), sum = reduce_sum(product, {0});
  evaluate({product, sum}, opencl);
  EXPECT_FALSE(product.storage()->on_host());
  // A value made there is read, and computed on by other devices.
  std::vector<float> got = sum.data<float>();
  Tensor again = sum + 0.0;
  evaluate({again}, device("cpu"));
  EXPECT_EQ(again.data<float>(), got);
  Tensor expected = reduce_sum(matmul(x, y), {0});
  evaluate({expected}, device("reference"));
  std::vector<float> wanted = expected.data<float>();
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], 1e-4 * (1 + std::abs(wanted[i])));
}

TEST(OpenCl, DonatedInputsAreUpdatedInPlace) {
  WAFER_OPENCL_OR_SKIP(opencl);
  Tensor state = make_input({DType::f32, Shape{1000}}, "state");
  Graph graph{{state}, {state * 2.0 + 1.0}, {0}};
  auto artifact = opencl->target().compile(graph, {});
  auto memory = opencl->allocate(4000);
  std::vector<float> values(1000, 1);
  opencl->copy_from_host(values.data(), *memory, 4000);
  std::vector<std::shared_ptr<Storage>> inputs = {memory};
  for (int turn = 0; turn < 3; ++turn) {
    auto outputs = execute(*opencl, *artifact, inputs);
    EXPECT_EQ(outputs[0], memory);
  }
  opencl->copy_to_host(*memory, values.data(), 4000);
  EXPECT_EQ(values, std::vector<float>(1000, 15));
}

TEST(OpenCl, AnObserverSeesEachStepWithItsTimeAndValues) {
  WAFER_OPENCL_OR_SKIP(opencl);
  Tensor x = make_input({DType::f32, Shape{64, 64}}, "x");
  Graph graph{{x}, {reduce_sum(matmul(x, x), {1})}, {}};
  auto artifact = opencl->target().compile(graph, {});
  auto memory = opencl->allocate(64 * 64 * 4);
  std::vector<float> ones(64 * 64, 1);
  opencl->copy_from_host(ones.data(), *memory, ones.size() * 4);
  size_t seen = 0;
  RunObserver observer = [&](const StepResult& step) {
    EXPECT_EQ(step.step, seen++);
    EXPECT_GT(step.seconds, 0);
    float wanted = step.node.is(op::matmul) ? 64 : 4096;
    EXPECT_EQ(*static_cast<const float*>(step.output(0)), wanted);
  };
  std::vector<std::shared_ptr<Storage>> inputs = {memory};
  execute(*opencl, *artifact, inputs, &observer);
  EXPECT_EQ(seen, artifact->steps.size());
  EXPECT_EQ(seen, 2u);
}

TEST(OpenCl, CompiledKernelsAreKeptInTheCacheFolderAndDamagedOnesMadeAgain) {
  WAFER_OPENCL_OR_SKIP(opencl);
  testing::TemporaryFolder folder;
  ::setenv("WAFER_CACHE", folder.path().c_str(), 1);
  Tensor x = make_input({DType::f32, Shape{5}}, "x");
  // A number of its own, so that no other test's kernel is the same.
  Graph graph{{x}, {x * 0.123456789 + 7.0}, {}};
  auto run = [&] {
    auto artifact = opencl->target().compile(graph, {});
    std::vector<float> values = {0, 1, 2, 3, 4};
    auto memory = opencl->allocate(20);
    opencl->copy_from_host(values.data(), *memory, 20);
    std::vector<std::shared_ptr<Storage>> inputs = {memory};
    auto outputs = execute(*opencl, *artifact, inputs);
    opencl->copy_to_host(*outputs[0], values.data(), 20);
    return values;
  };
  auto files = [&] {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "opencl"))
      found.push_back(entry.path());
    return found;
  };
  std::vector<float> first = run();
  ASSERT_EQ(files().size(), 1u);
  EXPECT_EQ(run(), first);
  EXPECT_EQ(files().size(), 1u);
  std::filesystem::resize_file(files()[0], std::filesystem::file_size(files()[0]) / 2);
  EXPECT_EQ(run(), first);
  ::unsetenv("WAFER_CACHE");
}

TEST(OpenCl, LoopsAndBranchesRunOnTheDevice) {
  WAFER_OPENCL_OR_SKIP(opencl);
  Tensor start = make_input({DType::f32, Shape{}}, "x");
  Tensor doubled = while_loop(
      [](const std::vector<Tensor>& s) { return less(s[0], 100.0); },
      [](const std::vector<Tensor>& s) { return std::vector<Tensor>{s[0] * 2.0}; }, {start})[0];
  Tensor chosen = if_else(
      less(start, 4.0), [&] { return std::vector<Tensor>{doubled + 1.0}; },
      [&] { return std::vector<Tensor>{doubled - 1.0}; })[0];
  Graph graph{{start}, {chosen}, {}};
  auto artifact = opencl->target().compile(graph, {});
  for (auto [from, to] : {std::pair{3.0f, 193.0f}, std::pair{5.0f, 159.0f}}) {
    auto memory = opencl->allocate(4);
    opencl->copy_from_host(&from, *memory, 4);
    std::vector<std::shared_ptr<Storage>> inputs = {memory};
    auto outputs = execute(*opencl, *artifact, inputs);
    float got = 0;
    opencl->copy_to_host(*outputs[0], &got, 4);
    EXPECT_EQ(got, to);
  }
}

}  // namespace
}  // namespace wafer
