#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "tests/text.h"
#include "wafer/backend/cpu/cpu.h"
#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/team.h"
#include "wafer/base/threads.h"
#include "wafer/op/conv.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/pool.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/peak.h"
#include "wafer/runtime/registry.h"

namespace wafer {
namespace {

std::vector<float> run_on(const std::string& name, const Graph& graph,
                          const std::vector<std::vector<float>>& values) {
  auto target = device(name);
  auto artifact = target->target().compile(graph, {});
  std::vector<std::shared_ptr<Storage>> inputs;
  for (const auto& input : values) {
    inputs.push_back(target->allocate(input.size() * sizeof(float)));
    target->copy_from_host(input.data(), *inputs.back(), input.size() * sizeof(float));
  }
  auto outputs = execute(*target, *artifact, inputs);
  target->synchronize();
  std::vector<float> result(static_cast<size_t>(artifact->outputs[0].elements()));
  target->copy_to_host(*outputs[0], result.data(), result.size() * sizeof(float));
  return result;
}

TEST(CpuDevice, SaysWhatItIs) {
  DeviceInfo info = device("cpu")->info();
  EXPECT_EQ(info.name, "cpu");
  EXPECT_EQ(info.threads, thread_count());
  EXPECT_GT(info.memory_bytes, size_t{1} << 28);
  EXPECT_NE(info.description.find(cpu::cpu_name()), std::string::npos);
  EXPECT_NE(info.description.find(cpu::name(cpu::isa())), std::string::npos);
}

// Convolution, pooling, flattening and a product: the layout pass puts reorders between.
TEST(CpuDevice, RunsAGraphAsTheReferenceDoes) {
  Tensor x = make_input(Type{DType::f32, Shape{3, 5, 12, 10}}, "x");
  Tensor w = make_input(Type{DType::f32, Shape{17, 5, 3, 3}}, "w");
  Tensor v = make_input(Type{DType::f32, Shape{6, 17 * 6 * 5}}, "v");
  Tensor h = max_pool2d(conv(x, w, {}, {.padding = {1}}), 2);
  Graph graph{{x, w, v}, {matmul(flatten(h, 1), v, false, true)}, {}};
  std::vector<std::vector<float>> values;
  uint32_t state = 1;
  for (const Tensor& input : graph.inputs) {
    values.emplace_back();
    for (int64_t i = 0; i < input.elements(); ++i) {
      state = state * 1664525u + 1013904223u;
      values.back().push_back(static_cast<float>(state >> 16) / 32768.0f - 1.0f);
    }
  }
  auto got = run_on("cpu", graph, values), expected = run_on("reference", graph, values);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 2e-3) << i;
  // The same bits again, and from several threads at once.
  EXPECT_EQ(run_on("cpu", graph, values), got);
  std::vector<std::thread> threads;
  std::vector<std::vector<float>> results(4);
  for (auto& result : results) {
    threads.emplace_back([&] { result = run_on("cpu", graph, values); });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, got);
}

TEST(CpuDevice, CountsMemory) {
  size_t before = cpu::memory_use().now;
  {
    auto small = device("cpu")->allocate(1000), large = device("cpu")->allocate(size_t{9} << 20);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(small->data()) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(large->data()) % (size_t{2} << 20), 0u);
    EXPECT_EQ(small->bytes(), 1000u);
    EXPECT_EQ(cpu::memory_use().now, before + 1024 + (size_t{9} << 20));
    static_cast<char*>(large->data())[(size_t{9} << 20) - 1] = 1;
    EXPECT_GE(cpu::memory_use().peak, cpu::memory_use().now);
    auto empty = device("cpu")->allocate(0);
    EXPECT_NE(empty->data(), nullptr);
  }
  EXPECT_EQ(cpu::memory_use().now, before);
}

TEST(CpuDevice, TooMuchMemoryIsAnErrorOfTheUser) {
  std::string error = tests::message_of([] { device("cpu")->allocate(size_t{1} << 60); });
  EXPECT_TRUE(tests::contains(error, "not enough memory"));
  EXPECT_THROW(device("cpu")->allocate(std::numeric_limits<size_t>::max()), UserError);
}

TEST(CpuDevice, DenormalsAreFlushedWhileRunningAndNotAfter) {
  volatile float least = std::numeric_limits<float>::min();
  {
    cpu::FlushDenormalsInTeam team;
    FlushDenormals here;
    EXPECT_EQ(least / 4, 0.0f);
  }
  EXPECT_NE(least / 4, 0.0f);
}

TEST(CpuDevice, MeasuresItsPeaksOnceAndKeepsThem) {
  namespace fs = std::filesystem;
  fs::path folder = fs::temp_directory_path() / str("wafer_peaks_", ::getpid());
  ::setenv("WAFER_CACHE", folder.c_str(), 1);
  auto first = measured_peaks(*device("cpu"));
  ASSERT_TRUE(first.has_value());
  EXPECT_GT(first->f32_flops, 1e8);
  EXPECT_GT(first->memory_bytes, 1e7);
  EXPECT_EQ(first->bf16_flops > first->f32_flops / 2, cpu::has_avx512_bf16());
  auto second = measured_peaks(*device("cpu"));
  EXPECT_EQ(second->f32_flops, first->f32_flops);
  auto again = measured_peaks(*device("cpu"), true);
  EXPECT_GE(again->f32_flops, first->f32_flops);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    ++files;
    std::ifstream in(entry.path());
    std::string text((std::istreambuf_iterator<char>(in)), {});
    EXPECT_NE(text.find("f32_flops"), std::string::npos);
  }
  EXPECT_EQ(files, 1);
  ::unsetenv("WAFER_CACHE");
  fs::remove_all(folder);
  EXPECT_FALSE(measured_peaks(*device("reference")).has_value());
}

}  // namespace
}  // namespace wafer
