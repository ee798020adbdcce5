#include "wafer/pass/fuse.h"

#include <gtest/gtest.h>

#include "tests/kernel/helpers.h"
#include "tests/pass/run_graph.h"
#include "wafer/op/activation.h"
#include "wafer/op/layout.h"
#include "wafer/op/matmul.h"

namespace wafer {
namespace {

using namespace wafer::testing;

// The graph with every `fused` node replaced by its content.
Graph unfused(const Graph& graph) {
  return rewrite(graph,
                 [](const Node& node,
                    const std::vector<Tensor>& inputs) -> std::optional<std::vector<Tensor>> {
                   if (!node.is(op::fused)) return std::nullopt;
                   return inline_graph(*node.subgraphs[0], inputs);
                 });
}

TEST(Fuse, AdamIsOneNodeWithThreeOutputs) {
  Shape shape{512, 10};
  Tensor p = f32(shape, "p"), g = f32(shape, "g"), m = f32(shape, "m"), v = f32(shape, "v");
  Tensor rate = f32({}, "rate");
  Tensor m2 = m * 0.9 + g * 0.1, v2 = v * 0.999 + g * g * 0.001;
  Tensor p2 = p - rate * m2 / (sqrt(v2) + 1e-8);
  Graph graph{{p, g, m, v, rate}, {p2, m2, v2}, {0, 2, 3}};
  Graph result = fuse_elementwise(graph);
  verify(result);
  EXPECT_EQ(count(result), 1u) << print(result);
  EXPECT_EQ(result.outputs[0].node().outputs.size(), 3u);
  EXPECT_EQ(result.outputs[0].node().inputs.size(), 5u);
  EXPECT_EQ(result.alias, graph.alias);
}

TEST(Fuse, ReluAndItsMaskStayApartAcrossAMatmul) {
  Tensor x = f32({8, 16}), w = f32({16, 16}, "w"), b = f32({16}, "b");
  Tensor y = relu(x + b);
  Tensor z = matmul(y, w);
  Tensor g = where(greater(y, 0.0), z * 2.0, scalar_like(z, 0));
  Graph result = fuse_elementwise({{x, w, b}, {g}, {}});
  verify(result);
  EXPECT_EQ(count(result, op::fused), 2u) << print(result);
  EXPECT_EQ(count(result), 3u) << print(result);
}

// What the gradient needs of the forward value is made again from it, not kept.
TEST(Fuse, PartsOfTheGradientAreMadeWhereTheyAreUsed) {
  Tensor x = f32({8, 16}), w = f32({16, 16}, "w"), b = f32({16}, "b");
  Tensor h = x + b;
  Tensor y = gelu(h);
  Tensor z = matmul(y, w);
  Tensor scaled = h * 0.7071;
  Tensor slope = (erf(scaled) + 1.0) * 0.5 + h * exp(neg(scaled * scaled)) * 0.3989;
  Graph result = fuse_elementwise({{x, w, b}, {z * slope}, {}});
  verify(result);
  ASSERT_EQ(count(result), 3u) << print(result);
  const Node& last = result.outputs[0].node();
  ASSERT_TRUE(last.is(op::fused));
  EXPECT_EQ(last.inputs.size(), 2u) << print(result);
  for (const Node* node : topological_order(result)) {
    if (!node->is(op::fused) || node == &last) continue;
    EXPECT_EQ(node->outputs.size(), 2u) << print(result);
  }
}

TEST(Fuse, AValueThatAnotherOpReadsBecomesAnOutput) {
  Tensor x = f32({8, 16}), w = f32({16, 4}, "w");
  Tensor e = exp(x);
  Tensor z = matmul(e, w);
  Tensor y = e * 2.0 + x;
  Graph result = fuse_elementwise({{x, w}, {z, y}, {}});
  verify(result);
  EXPECT_EQ(count(result), 2u) << print(result);
  EXPECT_EQ(count(result, op::matmul), 1u);
}

TEST(Fuse, BroadcastsAreFreeEvenForOneOp) {
  Tensor x = f32({8, 16}), b = f32({8}, "b");
  Tensor y = x + broadcast_to(reshape(b, Shape{8, 1}), Shape{8, 16});
  Graph result = fuse_elementwise({{x, b}, {y}, {}});
  EXPECT_EQ(count(result), 1u) << print(result);
  EXPECT_EQ(result.outputs[0].node().inputs[1], b);
}

TEST(Fuse, SlicesAreReadInPlace) {
  Tensor gates = f32({8, 32}), cell = f32({8, 8}, "cell");
  auto gate = [&](int64_t i) { return narrow(gates, 1, i * 8, (i + 1) * 8); };
  Tensor next = sigmoid(gate(1)) * cell + sigmoid(gate(0)) * tanh(gate(2));
  Graph result = fuse_elementwise({{gates, cell}, {sigmoid(gate(3)) * tanh(next), next}, {}});
  verify(result);
  EXPECT_EQ(count(result), 1u) << print(result);

  // A small part of a large value would keep it in memory.
  Tensor large = f32({8, 100}), part = narrow(large, 1, 0, 8);
  EXPECT_EQ(count(fuse_elementwise({{large}, {exp(part)}, {}}), op::slice), 1u);
}

// Narrowed and widened, a value may have the shape of what is made of it, and must not be written
// over meanwhile.
TEST(Fuse, SlicesThatAreWidenedAreMade) {
  Tensor a = f32({2, 2, 1024}), b = f32({1024, 8}, "b");
  Tensor x = exp(reshape(a, Shape{4, 1024}));
  Tensor column = broadcast_to(narrow(x, 1, 3, 4), x.shape());
  Tensor y =
      tanh(narrow(broadcast_to(reshape(x, Shape{2, 2, 1, 1024}), Shape{2, 2, 2, 1024}), 1, 0, 1));
  Tensor z = tanh(
      reshape(narrow(broadcast_to(reshape(x, Shape{2, 1, 2, 1024}), Shape{2, 2, 2, 1024}), 2, 0, 1),
              Shape{2, 2, 1024}));
  for (const Tensor& result :
       {x * column, reshape(y, Shape{4, 1024}), reshape(z, Shape{4, 1024})}) {
    Graph graph{{a, b}, {matmul(result, b)}, {}};
    verify(fuse_elementwise(graph));
    GraphValues inputs = random_values(graph, 6);
    expect_near(run_graph(graph, inputs, "cpu"), run_graph(graph, inputs, "reference"), 1e-5,
                print(fuse_elementwise(graph)));
  }
}

TEST(Fuse, LayoutsAreNotMixed) {
  Type last{DType::f32, {2, 3, 4, 5}, Layout::channels_last};
  Tensor x = make_input(last, "x");
  Node relu_node;
  relu_node.op = &op::relu;
  Tensor a = clone_node(relu_node, {x}, {last})[0];
  Tensor b = clone_node(relu_node, {a}, {last})[0];
  Tensor c = exp(reorder(b, Layout::row_major));
  Tensor d = c * 2.0;
  Graph result = fuse_elementwise({{x}, {d}, {}});
  verify(result);
  EXPECT_EQ(count(result, op::fused), 2u) << print(result);
  EXPECT_EQ(count(result, op::reorder), 1u);
  for (const Node* node : topological_order(result)) {
    if (node->is(op::fused) && node->inputs[0] == x) {
      EXPECT_EQ(node->outputs[0], last);
    }
  }
}

TEST(Fuse, PathsAreTheCommonModule) {
  Tensor x = f32({8});
  Tensor a, b;
  {
    PathScope scope = PathScope::whole("net.layer.one");
    a = exp(x);
  }
  {
    PathScope scope = PathScope::whole("net.layer.two");
    b = a + x;
  }
  Graph result = fuse_elementwise({{x}, {b}, {}});
  EXPECT_EQ(result.outputs[0].node().path, "net.layer");
}

// Random graphs of several shapes with slices, and reshapes that no group may hold: the same
// values, no cycle, nothing lost.
TEST(Fuse, RandomGraphsKeepTheirValues) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    std::vector<Shape> shapes = {Shape{4, 6}, Shape{6, 4}, Shape{24}, Shape{6}, Shape{}};
    std::vector<Tensor> inputs, values;
    for (const Shape& shape : shapes) inputs.push_back(f32(shape));
    inputs.push_back(f32(shapes[0]));
    values = inputs;
    Tensor wide = f32({4, 13}, "wide");
    inputs.push_back(wide);
    values.push_back(narrow(wide, 1, 3, 9));
    values.push_back(narrow(wide, 1, 1, 13, 2));
    auto pick = [&](size_t count) {
      return std::uniform_int_distribution<size_t>(0, count - 1)(random);
    };
    for (int i = 0; i < 30; ++i) {
      const Tensor a = values[pick(values.size())], b = values[pick(values.size())];
      switch (pick(7)) {
        case 0: values.push_back(tanh(a)); break;
        case 1: values.push_back(a * 0.5); break;
        case 2:
          if (a.elements() == 24) values.push_back(reshape(a, shapes[pick(3)]));
          break;
        case 3:
          if (a.shape() == shapes[0])
            values.push_back(a * broadcast_to(narrow(a, 1, 2, 3), shapes[0]));
          break;
        default:
          bool fits = a.shape() == b.shape() || a.rank() == 0 || b.rank() == 0 ||
                      (a.shape() == Shape{4, 6} && b.shape() == Shape{6});
          if (fits) values.push_back(pick(2) ? a + b : maximum(a, b) * 0.7);
      }
    }
    Graph graph{inputs, {}, {}};
    for (int i = 0; i < 4; ++i) graph.outputs.push_back(values[pick(values.size())]);
    Graph result = fuse_elementwise(graph);
    verify(result);
    EXPECT_LE(count(result), count(graph));
    Graph plain = unfused(result);
    Evaluator before, after;
    std::uniform_real_distribution<double> uniform(-1, 1);
    for (const Tensor& input : inputs) {
      Values data(static_cast<size_t>(input.elements()));
      for (double& value : data) value = uniform(random);
      before.bind(input, data);
      after.bind(input, data);
    }
    for (size_t o = 0; o < graph.outputs.size(); ++o) {
      ASSERT_EQ(graph.outputs[o].type(), plain.outputs[o].type());
      ASSERT_EQ(before.of(graph.outputs[o]), after.of(plain.outputs[o])) << print(result);
    }
    // Every group can be made into a program.
    for (const Node* node : topological_order(result)) {
      if (!node->is(op::fused)) continue;
      EXPECT_FALSE(kernel::build_program(*node).instructions.empty());
    }
  }
}

TEST(Fuse, LongChainsAreSplitAndDeepGraphsDoNotRecurse) {
  Tensor x = f32({4});
  Tensor y = x;
  for (int i = 0; i < 20000; ++i) y = y + x;
  Graph result = fuse_elementwise({{x}, {y}, {}});
  size_t groups = count(result, op::fused);
  EXPECT_GE(groups, 20000u / 48);
  EXPECT_LE(groups, 20000u / 40);
}

}  // namespace
}  // namespace wafer
