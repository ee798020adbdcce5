#include <gtest/gtest.h>

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
