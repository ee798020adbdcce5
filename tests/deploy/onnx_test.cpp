#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/deploy/onnx_bytes.h"
#include "wafer/deploy/onnx/onnx.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/freeze.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/grad.h"

// What the standard's tests do not ask: graphs compiled ahead, symbols, weights, gradients.
namespace wafer {
namespace {
using namespace testing;

class OnnxModel : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  }
};

onnx::Session session_of(const GraphParts& parts, uint64_t opset = 17) {
  std::string bytes = model_bytes(graph_message(parts), opset);
  return onnx::Session(onnx::parse_model(view(bytes), "model.onnx"));
}

// One output of a graph on given inputs.
std::vector<float> run_graph(const Graph& graph, const std::vector<Tensor>& inputs) {
  auto device = default_device();
  auto artifact = compile_cached(*device, graph);
  std::vector<std::shared_ptr<Storage>> storages;
  for (const Tensor& input : inputs) storages.push_back(input.eval().storage());
  auto outputs = execute(*device, *artifact, storages);
  device->synchronize();
  return Tensor::from_storage(artifact->outputs[0], outputs[0]).data<float>();
}

// y = relu(x w), x: [n, 4], w: [4, 3].
GraphParts layer() {
  std::vector<float> w;
  for (int i = 0; i < 12; ++i) w.push_back(static_cast<float>(i - 5) / 4);
  GraphParts parts;
  parts.nodes = {node_message("MatMul", {"x", "w"}, {"h"}), node_message("Relu", {"h"}, {"y"})};
  parts.initializers = {tensor_message("w", {4, 3}, w)};
  parts.inputs = {info_message("x", {-1, 4})};
  parts.outputs = {info_message("y", {-1, 3})};
  return parts;
}
Tensor example() {
  return Tensor::from_values<float>({1, -2, 3, 0.5, 2, 1, -1, 4}, Shape{2, 4});
}

TEST_F(OnnxModel, TakesSymbolsFromTheCaller) {
  auto session = session_of(layer());
  EXPECT_EQ(session.input_types({{"n", 5}}, 1)[0].shape, (Shape{5, 4}));
  EXPECT_EQ(session.input_types({}, 2)[0].shape, (Shape{2, 4}));
}

TEST_F(OnnxModel, CompiledAheadGivesWhatARunGives) {
  auto session = session_of(layer());
  auto run = session.run({example()});
  EXPECT_EQ(run.segments, 1);
  EXPECT_EQ(run_graph(session.graph(session.input_types({}, 2)), {example()}),
            run.values[0].tensor.data<float>());
}

TEST_F(OnnxModel, WeightsAreInputsThatCanBeTrained) {
  auto session = session_of(layer());
  auto weighted = session.graph_with_weights(session.input_types({}, 2));
  ASSERT_EQ(weighted.names, std::vector<std::string>{"w"});
  // The gradient of sum(relu(x w)) by w is x^T where relu is open.
  auto outputs = inline_graph(weighted.graph, {weighted.weights[0], example()});
  Tensor gradient = grad(reduce_sum(outputs[0]), {weighted.weights[0]})[0];
  Tensor open = cast(greater(outputs[0], 0.0), DType::f32);
  Tensor expected = matmul(example(), open, true, false);
  EXPECT_EQ(gradient.data<float>(), expected.data<float>());
  // Frozen they are constants, and the outputs stay.
  auto device = default_device();
  auto frozen = freeze(weighted.graph, {weighted.weights[0].storage()}, *device);
  EXPECT_EQ(run_graph(frozen, {example()}), outputs[0].data<float>());
}

TEST_F(OnnxModel, ShapeArithmeticIsFoldedAhead) {
  // y = reshape(x, [shape(x)[0] * 2, -1])
  int64_t two = 2, rest = -1, zero = 0;
  auto integers = [](const std::string& name, int64_t value) {
    Message t;
    t.number(1, 1).number(2, 7).text(8, name);
    return t.text(9, std::string(reinterpret_cast<const char*>(&value), 8));
  };
  GraphParts parts;
  parts.initializers = {integers("two", two), integers("rest", rest), integers("zero", zero)};
  parts.nodes = {node_message("Shape", {"x"}, {"s"}), node_message("Gather", {"s", "zero"}, {"b"}),
                 node_message("Mul", {"b", "two"}, {"d"}),
                 node_message("Concat", {"d", "rest"}, {"t"}, {integer_attribute("axis", 0)}),
                 node_message("Reshape", {"x", "t"}, {"y"})};
  parts.inputs = {info_message("x", {-1, 4})};
  parts.outputs = {info_message("y", {-1, -1})};
  auto session = session_of(parts);
  EXPECT_EQ(session.graph(session.input_types({}, 3)).outputs[0].shape(), (Shape{6, 2}));
}

// The rule word for word, bin by bin: x of one image [height, width].
std::vector<float> pooled_region(const std::vector<float>& x, int height, int width,
                                 const std::vector<double>& region, double scale, int rows,
                                 int columns) {
  auto at = [&](int i) {
    return static_cast<int>(std::round(region[static_cast<size_t>(i)] * scale));
  };
  std::vector<float> out;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      auto range = [](int first, int last, int bin, int bins, int extent) {
        double size = std::max(last - first + 1, 1) / static_cast<double>(bins);
        auto low = static_cast<int>(std::floor(bin * size)) + first;
        auto high = static_cast<int>(std::ceil((bin + 1) * size)) + first;
        return std::pair(std::clamp(low, 0, extent), std::clamp(high, 0, extent));
      };
      auto [top, bottom] = range(at(2), at(4), r, rows, height);
      auto [left, right] = range(at(1), at(3), c, columns, width);
      float best = bottom <= top || right <= left ? 0.0f : -1e30f;
      for (int y = top; y < bottom; ++y)
        for (int z = left; z < right; ++z)
          best = std::max(best, x[static_cast<size_t>(y * width + z)]);
      out.push_back(best);
    }
  }
  return out;
}

TEST_F(OnnxModel, PoolsTheLargestOfRegions) {
  constexpr int height = 6, width = 8;
  std::vector<float> x, expected;
  for (int i = 0; i < 2 * height * width; ++i)
    x.push_back(static_cast<float>((i * 37) % 101) / 10 - 8);
  std::vector<std::vector<double>> regions = {
      {0, 0, 0, 14, 10}, {1, 3, 1, 9, 11}, {1, 5, 5, 5, 5}, {0, -6, 2, 3, 30}, {1, 40, 40, 50, 50}};
  std::vector<float> numbers;
  for (const auto& region : regions) {
    numbers.insert(numbers.end(), region.begin(), region.end());
    auto first = x.begin() + static_cast<std::ptrdiff_t>(region[0]) * height * width;
    auto one = pooled_region({first, first + height * width}, height, width, region, 0.5, 2, 3);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  GraphParts parts;
  Message shape;
  shape.text(1, "pooled_shape").number(8, 2).number(8, 3).number(20, 7);
  parts.nodes = {
      node_message("MaxRoiPool", {"x", "r"}, {"y"},
                   {shape, Message().text(1, "spatial_scale").real(2, 0.5f).number(20, 1)})};
  parts.inputs = {info_message("x", {2, 1, height, width}), info_message("r", {5, 5})};
  parts.outputs = {info_message("y", {5, 1, 2, 3})};
  auto run = session_of(parts).run({Tensor::from_values(x, Shape{2, 1, height, width}),
                                    Tensor::from_values(numbers, Shape{5, 5})});
  EXPECT_EQ(run.segments, 1);
  EXPECT_EQ(run.values[0].tensor.data<float>(), expected);
}

// y = x + w where w, [3, 4], is sparse.
std::string sum_with_sparse(const std::vector<int64_t>& indices, const std::vector<int64_t>& shape,
                            const std::vector<int64_t>& dims) {
  Message sparse, places;
  for (int64_t size : shape) places.number(1, static_cast<uint64_t>(size));
  places.number(2, 7).text(9, {reinterpret_cast<const char*>(indices.data()), indices.size() * 8});
  sparse.message(1, tensor_message("w", {2}, {5, 7})).message(2, places);
  for (int64_t size : dims) sparse.number(3, static_cast<uint64_t>(size));
  GraphParts parts;
  parts.nodes = {node_message("Add", {"x", "w"}, {"y"})};
  parts.inputs = {info_message("x", {3, 4})};
  parts.outputs = {info_message("y", {3, 4})};
  return model_bytes(graph_message(parts).message(15, sparse));
}

TEST_F(OnnxModel, SparseInitializersBecomeDense) {
  std::vector<float> expected(12, 1.0f);
  expected[1] += 5;
  expected[6] += 7;
  for (const std::string& bytes :
       {sum_with_sparse({1, 6}, {2}, {3, 4}), sum_with_sparse({0, 1, 1, 2}, {2, 2}, {3, 4})}) {
    onnx::Session session(onnx::parse_model(view(bytes), "model.onnx"));
    auto run = session.run({Tensor::from_values(std::vector<float>(12, 1.0f), Shape{3, 4})});
    EXPECT_EQ(run.values[0].tensor.data<float>(), expected);
  }
  int64_t huge = int64_t{1} << 31;
  for (const auto& [bytes, part] : std::vector<std::pair<std::string, std::string>>{
           {sum_with_sparse({1, 12}, {2}, {3, 4}), "index 12"},
           {sum_with_sparse({0, 1, 3, 2}, {2, 2}, {3, 4}), "index 3"},
           {sum_with_sparse({6, 1}, {2}, {3, 4}), "ascend"},
           {sum_with_sparse({6, 6}, {2}, {3, 4}), "ascend"},
           {sum_with_sparse({1, 6, 7}, {3}, {3, 4}), "its indices are 3"},
           {sum_with_sparse({1, 6}, {2}, {huge, 4}), "dense"},
           {sum_with_sparse({1, 6}, {2}, {-3, 4}), "dimension of -3"}}) {
    try {
      onnx::parse_model(view(bytes), "model.onnx");
      ADD_FAILURE() << part;
    } catch (const UserError& error) {
      std::string text = error.what();
      EXPECT_NE(text.find("sparse initializer 'w'"), text.npos) << text;
      EXPECT_NE(text.find(part), text.npos) << text;
    }
  }
}

TEST_F(OnnxModel, RunsWithinTheCallersLimits) {
  auto session = session_of(layer());
  auto error_with = [&](const onnx::Limits& limits) {
    try {
      session.run({example()}, nullptr, limits);
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(error_with({.elements = 6, .work = 1e6}), "");
  std::string large = error_with({.elements = 5}), long_run = error_with({.work = 10});
  EXPECT_NE(large.find("6 numbers, of at most 5"), large.npos) << large;
  EXPECT_NE(long_run.find("more than 10 operations"), long_run.npos) << long_run;
}

TEST_F(OnnxModel, WhatDependsOnDataRunsButDoesNotCompileAhead) {
  GraphParts parts;
  parts.nodes = {node_message("Reshape", {"x", "s"}, {"y"}, {}, "shaper")};
  parts.inputs = {info_message("x", {6}), info_message("s", {2}, 7)};
  parts.outputs = {info_message("y", {-1, -1})};
  auto session = session_of(parts);
  auto run = session.run({Tensor::from_values<float>({1, 2, 3, 4, 5, 6}, Shape{6}),
                          Tensor::from_values<int64_t>({3, 2}, Shape{2})});
  EXPECT_EQ(run.values[0].tensor.shape(), (Shape{3, 2}));
  try {
    session.graph(session.input_types({}, 1));
    FAIL() << "no error";
  } catch (const UserError& error) {
    std::string text = error.what();
    for (const char* part : {"'shaper' (Reshape)", "version 14", "input 1", "depend"})
      EXPECT_NE(text.find(part), text.npos) << text;
  }
}

TEST_F(OnnxModel, BranchesAndLoopsOnDataCompileAhead) {
  // if sum(x) > 0: y = x else y = -x; then doubled while sum(y) < 100.
  auto body =
      graph_message({{node_message("Add", {"v", "v"}, {"v2"}),
                      node_message("ReduceSum", {"v2"}, {"t"}, {integer_attribute("keepdims", 0)}),
                      node_message("Less", {"t", "hundred"}, {"more"})},
                     {},
                     {info_message("i", {}, 7), info_message("c", {}, 9), info_message("v", {2})},
                     {info_message("more", {}, 9), info_message("v2", {2})}});
  auto same =
      graph_message({{node_message("Identity", {"x"}, {"a"})}, {}, {}, {info_message("a", {2})}});
  auto negative =
      graph_message({{node_message("Neg", {"x"}, {"b"})}, {}, {}, {info_message("b", {2})}});
  GraphParts parts;
  parts.initializers = {tensor_message("zero", {}, {0}), tensor_message("hundred", {}, {100})};
  parts.nodes = {node_message("ReduceSum", {"x"}, {"sum"}, {integer_attribute("keepdims", 0)}),
                 node_message("Greater", {"sum", "zero"}, {"positive"}),
                 node_message("If", {"positive"}, {"p"},
                              {graph_attribute("then_branch", same),
                               graph_attribute("else_branch", negative)}),
                 node_message("Less", {"zero", "hundred"}, {"start"}),
                 node_message("Loop", {"", "start", "p"}, {"y"}, {graph_attribute("body", body)})};
  parts.inputs = {info_message("x", {2})};
  parts.outputs = {info_message("y", {2})};
  auto session = session_of(parts);
  Graph graph = session.graph(session.input_types({}, 1));
  for (float sign : {1.0F, -1.0F}) {
    Tensor x = Tensor::from_values<float>({sign * 3, sign * 1}, Shape{2});
    EXPECT_EQ(run_graph(graph, {x}), (std::vector<float>{96, 32})) << sign;
    EXPECT_EQ(session.run({x}).values[0].tensor.data<float>(), (std::vector<float>{96, 32}));
  }
}
}  // namespace
}  // namespace wafer
