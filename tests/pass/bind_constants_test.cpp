#include "wafer/pass/bind_constants.h"

#include "tests/pass/run_graph.h"
#include "wafer/op/control_flow.h"

namespace wafer {
namespace {
using namespace testing;

Tensor values(const Shape& shape, float first) {
  std::vector<float> numbers;
  for (int64_t i = 0; i < shape.elements(); ++i) numbers.push_back(first + 0.01f * i);
  return Tensor::from_values<float>(numbers, shape);
}

const Node& only(const Graph& graph, const OpDef& op) {
  const Node* found = nullptr;
  for (const Node* node : topological_order(graph)) {
    if (node->is(op)) found = node;
  }
  EXPECT_NE(found, nullptr) << print(graph);
  return *found;
}

void expect_same_values(const Graph& graph, const Graph& bound) {
  verify(bound);
  GraphValues inputs = random_values(graph, 5);
  for (const char* device : {"cpu", "reference"}) {
    expect_near(run_graph(bound, inputs, device), run_graph(graph, inputs, "reference"), 1e-5,
                device);
  }
}

TEST(BindConstants, WeightsOfAScanAreItsOwn) {
  Tensor x = f32({5, 4, 3}), h = f32({4, 3}, "h"), given = f32({3}, "given");
  Tensor weight = values({3, 3}, -0.1f), flat = values({9}, 0.2f);
  Tensor shaped = reshape(flat, Shape{3, 3});
  auto body = [&](const std::vector<Tensor>& carries, const std::vector<Tensor>& xs) -> ScanStep {
    Tensor next =
        tanh(matmul(carries[0], weight) + matmul(xs[0], shaped) + broadcast_to(given, h.shape()));
    return {{next}, {next}};
  };
  ScanResult result = scan(body, {h}, {x});
  Graph graph{{x, h, given}, {result.carries[0], result.ys[0]}, {}};
  ASSERT_EQ(only(graph, op::scan).inputs.size(), 5u);
  Graph bound = bind_constants(graph);
  const Node& node = only(bound, op::scan);
  EXPECT_EQ(node.inputs.size(), 3u) << print(bound);
  EXPECT_EQ(count(*node.subgraphs[0], op::constant), 2u);
  // The very memory, not a copy.
  for (const Node* inner : topological_order(*node.subgraphs[0])) {
    if (!inner->is(op::constant)) continue;
    EXPECT_TRUE(inner->values[0] == weight.storage() || inner->values[0] == flat.storage());
  }
  expect_same_values(graph, bound);
}

TEST(BindConstants, BothBranchesAndBothFunctionsOfALoop) {
  Tensor x = f32({4}), limit = values({}, 3), step = values({4}, 0.5f);
  Tensor flag = make_input({DType::boolean, Shape{}}, "flag");
  Tensor chosen = if_else(
      flag, [&] { return std::vector<Tensor>{x * step}; },
      [&] { return std::vector<Tensor>{x + step}; })[0];
  Graph branches{{x, flag}, {chosen}, {}};
  Graph bound = bind_constants(branches);
  EXPECT_EQ(only(bound, op::if_else).inputs.size(), 2u) << print(bound);
  expect_same_values(branches, bound);

  Tensor grown = while_loop(
      [&](const std::vector<Tensor>& state) { return less(reduce_max(state[0], {0}), limit); },
      [&](const std::vector<Tensor>& state) { return std::vector<Tensor>{state[0] + step}; },
      {x})[0];
  Graph loop{{x}, {grown}, {}};
  bound = bind_constants(loop);
  EXPECT_EQ(only(bound, op::while_loop).inputs.size(), 1u) << print(bound);
  expect_same_values(loop, bound);
}

TEST(BindConstants, OtherGraphsComeBackAsTheyAre) {
  Tensor x = f32({4}), step = values({4}, 0.5f);
  Graph graph{{x}, {x + step}, {}};
  EXPECT_TRUE(structurally_equal(bind_constants(graph), graph));
}

}  // namespace
}  // namespace wafer
