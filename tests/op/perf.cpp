#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tests/op/run.h"
#include "wafer/op/activation.h"
#include "wafer/op/conv.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/pool.h"
#include "wafer/op/random.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

namespace wafer::op_tests {

std::vector<OpCase> perf_cases() {
  using Tensors = std::vector<Tensor>;
  std::vector<OpCase> cases;
  auto add = [&](const char* op, const char* name, std::vector<Input> inputs, Build build) {
    cases.push_back({op, name, std::move(inputs), std::move(build), only(DType::f32)});
  };
  const Sizes million = {1024, 1024};
  add("add", "1M elements", {{million}, {million}},
      [](const Tensors& in) -> Tensors { return {in[0] + in[1]}; });
  add("mul", "1M elements, broadcast", {{million}, {{1024}}},
      [](const Tensors& in) -> Tensors { return {in[0] * in[1]}; });
  add("exp", "1M elements", {{million}}, [](const Tensors& in) -> Tensors { return {exp(in[0])}; });
  add("tanh", "1M elements", {{million}},
      [](const Tensors& in) -> Tensors { return {tanh(in[0])}; });
  add("relu", "1M elements", {{million}},
      [](const Tensors& in) -> Tensors { return {relu(in[0])}; });
  add("gelu", "1M elements", {{million}},
      [](const Tensors& in) -> Tensors { return {gelu(in[0])}; });
  add("transpose", "1024x1024", {{million}}, [](const Tensors& in) -> Tensors {
    return {transpose(in[0], {1, 0})};
  });
  add("transpose", "64x3x128x128 to channels last", {{{64, 3, 128, 128}}},
      [](const Tensors& in) -> Tensors {
        return {transpose(in[0], {0, 2, 3, 1})};
      });
  add("concat", "2 x 512x1024", {{{512, 1024}}, {{512, 1024}}},
      [](const Tensors& in) -> Tensors { return {concat(in, 0)}; });
  add("reduce_sum", "rows of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {reduce_sum(in[0], {1})}; });
  add("reduce_sum", "columns of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {reduce_sum(in[0], {0})}; });
  add("reduce_max", "rows of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {reduce_max(in[0], {1})}; });
  add("cumsum", "rows of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {cumsum(in[0], 1)}; });
  add("matmul", "512x512 by 512x512", {{{512, 512}}, {{512, 512}}},
      [](const Tensors& in) -> Tensors { return {matmul(in[0], in[1])}; });
  add("matmul", "linear 64x3136 by 512x3136", {{{64, 3136}}, {{512, 3136}}},
      [](const Tensors& in) -> Tensors { return {linear(in[0], in[1])}; });
  add("matmul", "16 x 128x64 by 64x128", {{{16, 128, 64}}, {{16, 64, 128}}},
      [](const Tensors& in) -> Tensors { return {matmul(in[0], in[1])}; });
  const Sizes image = {64, 32, 16, 16}, kernel = {64, 32, 3, 3}, output = {64, 64, 16, 16};
  ConvAttrs attrs{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
  add("conv", "64x3x32x32, 32 kernels 3x3", {{{64, 3, 32, 32}}, {{32, 3, 3, 3}}},
      [](const Tensors& in) -> Tensors { return {conv(in[0], in[1], {}, {.padding = {1}})}; });
  add("conv", "64x32x16x16, 64 kernels 3x3", {{image}, {kernel}},
      [](const Tensors& in) -> Tensors { return {conv(in[0], in[1], {}, {.padding = {1}})}; });
  add("conv_input_gradient", "64x32x16x16, 64 kernels 3x3", {{output}, {kernel}},
      [=](const Tensors& in) -> Tensors {
        return {conv_input_gradient(in[0], in[1], Shape(image), attrs)};
      });
  add("conv_weight_gradient", "64x32x16x16, 64 kernels 3x3", {{image}, {output}},
      [=](const Tensors& in) -> Tensors {
        return {conv_weight_gradient(in[0], in[1], Shape(kernel), attrs)};
      });
  add("max_pool", "64x32x32x32 by 2", {{{64, 32, 32, 32}}},
      [](const Tensors& in) -> Tensors { return {max_pool2d(in[0], 2)}; });
  add("avg_pool", "64x32x32x32 by 2", {{{64, 32, 32, 32}}},
      [](const Tensors& in) -> Tensors { return {avg_pool2d(in[0], 2)}; });
  add("gather", "4096 of 10000x128", {{{10000, 128}}, {{4096}, 0, 10000, Fill::index, DType::i64}},
      [](const Tensors& in) -> Tensors { return {gather(in[0], in[1])}; });
  add("scatter_add", "4096 into 10000x128",
      {{{10000, 128}}, {{4096}, 0, 10000, Fill::index, DType::i64}, {{4096, 128}}},
      [](const Tensors& in) -> Tensors { return {scatter_add(in[0], in[1], in[2])}; });
  add("sort", "1024 rows of 1024", {{million}},
      [](const Tensors& in) -> Tensors { return {sort(in[0]).values}; });
  add("random_uniform", "1M elements", {},
      [=](const Tensors&) -> Tensors { return {random_uniform(Shape(million))}; });
  add("random_normal", "1M elements", {},
      [=](const Tensors&) -> Tensors { return {random_normal(Shape(million))}; });
  return cases;
}

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
