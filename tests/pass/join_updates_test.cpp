#include "wafer/pass/join_updates.h"

#include "tests/pass/run_graph.h"
#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/fuse.h"

namespace wafer {
namespace {
using namespace testing;

constexpr JoinLimits all{.values = 1000, .elements = 1 << 20};

// Weights of these sizes and their momenta, updated in place by gradients of which each is computed
// from the weight, and a loss.
Graph train_step(const std::vector<int64_t>& sizes) {
  Graph graph;
  Tensor x = make_input({DType::f32, Shape{}}, "x"), loss;
  graph.inputs = {x};
  std::vector<Tensor> outputs;
  for (int64_t size : sizes) {
    Tensor weight = make_input({DType::f32, Shape{size}}, str("weight ", size));
    Tensor momentum = make_input({DType::f32, Shape{size}}, str("momentum ", size));
    Tensor gradient = broadcast_to(reduce_sum(weight, {0}), {size}) * 0.125;
    Tensor next = momentum * 0.5 + gradient;
    outputs.push_back(weight - next * broadcast_to(x, {size}));
    outputs.push_back(next);
    loss = loss ? loss + reduce_sum(weight, {0}) : reduce_sum(weight, {0});
    for (const Tensor& each : {weight, momentum}) {
      graph.alias.push_back(static_cast<int>(graph.inputs.size()));
      graph.inputs.push_back(each);
    }
  }
  graph.outputs = outputs;
  graph.outputs.push_back(tanh(loss) * loss);
  graph.alias.push_back(-1);
  return fuse_elementwise(graph);
}

// How many groups each fused node of the graph that makes outputs alone has.
std::vector<size_t> groups(const Graph& graph) {
  std::vector<size_t> counts;
  for (const Node* node : topological_order(graph)) {
    if (node->is(op::fused)) counts.push_back(node->subgraphs.size());
  }
  return counts;
}

TEST(JoinUpdates, OneNodeMakesWhatNothingReads) {
  Graph graph = train_step({7, 1, 33});
  Graph joined = join_updates(graph, all);
  verify(joined);
  EXPECT_EQ(groups(graph), (std::vector<size_t>{1, 1, 1, 1}));
  EXPECT_EQ(groups(joined), std::vector<size_t>{4});
  ASSERT_EQ(joined.outputs.size(), graph.outputs.size());
  for (size_t i = 0; i < graph.outputs.size(); ++i)
    EXPECT_EQ(joined.outputs[i].type(), graph.outputs[i].type());
}

TEST(JoinUpdates, KeepsToItsLimits) {
  Graph graph = train_step({7, 5, 33, 2});
  for (size_t values : {3, 10, 12, 18, 24, 1000}) {
    size_t nodes = 0, whole = 0;
    Graph joined = join_updates(graph, {values, 1 << 20});
    for (const Node* node : topological_order(joined)) {
      if (!node->is(op::fused)) continue;
      ++nodes;
      whole += node->subgraphs.size();
      bool fits = node->inputs.size() + node->outputs.size() <= values;
      EXPECT_TRUE(fits || node->subgraphs.size() == 1) << values;
    }
    EXPECT_EQ(whole, 5u);
    EXPECT_EQ(nodes == 5, values < 12) << values;  // an update has six values
  }
  Graph small = join_updates(graph, {.values = 1000, .elements = 7});
  EXPECT_EQ(groups(small).size(), 2u);  // the 33 by itself
}

TEST(JoinUpdates, LeavesWhatIsReadOrNoGroup) {
  Tensor x = make_input({DType::f32, Shape{3}}, "x"), w = make_input({DType::f32, Shape{3}}, "w");
  Tensor y = x * 2.0 + w, z = exp(w) * 3.0 + x;
  Graph read{{x, w}, {reduce_sum(y, {0}), z, y}, {}};
  Graph fused = fuse_elementwise(read);
  EXPECT_EQ(print(join_updates(fused, all)), print(fused));
  Graph nothing{{x}, {x}, {}};
  EXPECT_EQ(join_updates(nothing, all).outputs[0], x);
}

}  // namespace
}  // namespace wafer
