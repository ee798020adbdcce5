#include "wafer/pass/precision.h"

#include "tests/pass/run_graph.h"
#include "wafer/op/attention.h"
#include "wafer/op/norm.h"
#include "wafer/op/op.h"
#include "wafer/op/recurrent.h"
#include "wafer/op/reduce.h"

namespace wafer {
namespace {
using namespace testing;

size_t count_in(const Graph& graph, const OpDef& op, DType dtype) {
  size_t count = 0;
  for (const Node* node : topological_order(graph))
    count += node->is(op) && node->outputs[0].dtype == dtype;
  return count;
}

TEST(Precision, NamesGoBothWays) {
  for (Precision p : {Precision::automatic, Precision::f32, Precision::bf16, Precision::f16})
    EXPECT_EQ(precision_by_name(std::string(name(p))), p);
  EXPECT_THROW(precision_by_name("fp16"), UserError);
}

TEST(Precision, ProductsAreLowAndLossesAreWide) {
  Graph graph = cnn_gradients(4, 3);
  Graph lowered = apply_precision(graph, Precision::bf16);
  verify(lowered);
  EXPECT_EQ(count_in(lowered, op::conv, DType::f32), 0u) << print(lowered);
  EXPECT_EQ(count_in(lowered, op::matmul, DType::f32), 0u);
  EXPECT_EQ(count_in(lowered, op::conv_weight_gradient, DType::f32), 0u);
  EXPECT_EQ(count_in(lowered, op::max_pool, DType::f32), 0u);
  EXPECT_EQ(count_in(lowered, op::cross_entropy, DType::bf16), 0u);
  ASSERT_EQ(lowered.outputs.size(), graph.outputs.size());
  for (size_t i = 0; i < graph.outputs.size(); ++i)
    EXPECT_EQ(lowered.outputs[i].type(), graph.outputs[i].type());
  // Each weight is cast once, however often it is used.
  size_t casts = 0;
  for (const Node* node : topological_order(lowered))
    casts += node->is(op::cast) && node->inputs[0] == graph.inputs[4];
  EXPECT_EQ(casts, 1u) << print(lowered);
}

TEST(Precision, TheOptimiserStaysWide) {
  Tensor x = f32({4, 8}), w = f32({8, 8}, "w"), moment = f32({8, 8}, "m");
  Tensor g = matmul(x, x, true, false);
  PathScope scope = PathScope::whole("optimizer");
  Graph graph{{x, w, moment}, {w - (moment * 0.9 + g * 0.1)}, {1}};
  Graph lowered = apply_precision(graph, Precision::bf16);
  verify(lowered);
  EXPECT_EQ(count_in(lowered, op::sub, DType::f32), 1u);
  EXPECT_EQ(count_in(lowered, op::mul, DType::bf16), 0u) << print(lowered);
}

TEST(Precision, F32LeavesTheGraphAlone) {
  Graph graph = cnn_gradients(2, 1);
  EXPECT_TRUE(structurally_equal(apply_precision(graph, Precision::f32), graph));
}

TEST(Precision, OtherDtypesAndExplicitCastsAreLeftAlone) {
  Tensor x = make_input({DType::f64, Shape{4, 4}}, "x");
  Graph graph{{x}, {matmul(x, x), cast(matmul(x, x), DType::f32)}, {}};
  EXPECT_TRUE(structurally_equal(apply_precision(graph, Precision::bf16), graph));
}

// Results in bf16 depend on where values are rounded, and so does which side of 0 a ReLU's input
// lies on: norms are compared, of one example loosely.
TEST(Precision, CnnAgreesWithTheReferenceAndWithF32) {
  uint64_t seed = 1;
  for (int64_t channels : {1, 3, 17}) {
    for (int64_t batch : {1, 7, 64}) {
      Graph graph = cnn_gradients(batch, channels);
      Graph lowered = apply_precision(graph, Precision::bf16);
      GraphValues inputs = random_values(graph, ++seed);
      for (auto& value : inputs[6]) value *= 0.2;
      std::string what = str(channels, " channels, batch ", batch);
      GraphValues exact = run_graph(graph, inputs, "reference");
      GraphValues got = run_graph(lowered, inputs, "cpu");
      expect_near(run_graph(graph, inputs, "cpu"), exact, 1e-4, what + ", f32");
      double limit = batch == 1 ? 0.25 : 0.1;
      expect_near(got, run_graph(lowered, inputs, "reference"), limit, what + ", bf16");
      expect_near(got, exact, limit, what + ", bf16 against f32");
      if (batch != 7) continue;
      Graph half = apply_precision(graph, Precision::f16);
      got = run_graph(half, inputs, "cpu");
      expect_near(got, run_graph(half, inputs, "reference"), limit / 4, what + ", f16");
      expect_near(got, exact, limit / 4, what + ", f16 against f32");
    }
  }
}

TEST(Precision, NormsKeepTheirStatisticsWide) {
  for (int64_t channels : {1, 3, 17}) {
    Tensor x = f32({7, channels, 4, 4}), w = f32({channels, channels, 1, 1}, "w");
    Tensor scale = f32({channels}, "scale"), bias = f32({channels}, "bias");
    BatchNormResult normal = batch_norm(conv(x, w, {}, {}), scale, bias, 1e-3);
    Tensor rows = flatten(normal.y, 1);
    Tensor s = f32({channels * 16}, "s"), b = f32({channels * 16}, "b");
    Tensor r = f32({7, channels * 16}, "r"), q = f32({7, channels * 16}, "q");
    Tensor y = layer_norm(rows, {channels * 16}, s, b, 1e-3);
    std::vector<Tensor> weights = {w, scale, bias, s, b};
    Tensor loss = reduce_sum(y * r) + reduce_sum(rows * q);
    Graph graph;
    graph.inputs = {x, w, scale, bias, s, b, r, q};
    graph.outputs = gradient({loss}, {scalar_like(loss, 1)}, weights);
    graph.outputs.insert(graph.outputs.end(), {y, normal.mean, normal.variance});
    Graph lowered = apply_precision(graph, Precision::bf16);
    verify(lowered);
    for (const Node* node : topological_order(lowered)) {
      if (!node->is(op::batch_norm) && !node->is(op::layer_norm)) continue;
      EXPECT_EQ(node->outputs[0].dtype, DType::bf16);
      EXPECT_EQ(node->outputs[1].dtype, DType::f32);
    }
    GraphValues inputs = random_values(graph, static_cast<uint64_t>(channels));
    std::string what = str(channels, " channels");
    expect_near(run_graph(lowered, inputs, "cpu"), run_graph(lowered, inputs, "reference"), 0.1,
                what);
    expect_near(run_graph(graph, inputs, "cpu"), run_graph(graph, inputs, "reference"), 1e-3, what);
  }
}

TEST(Precision, RecurrentLayersAndAttentionAgreeWithTheReference) {
  for (int64_t batch : {1, 7}) {
    Tensor x = f32({5, batch, 17});
    Tensor wi = f32({4 * 16, 17}, "wi"), wh = f32({4 * 16, 16}, "wh");
    Tensor bi = f32({4 * 16}, "bi"), bh = f32({4 * 16}, "bh");
    Tensor h = lstm(x, {wi, wh, bi, bh}, {}, {}, {}).outputs;
    Tensor y = scaled_dot_product_attention(h, h, h, {.causal = true});
    Tensor loss = reduce_sum(y * y);
    std::vector<Tensor> weights = {wi, wh, bi};
    Graph graph{{x, wi, wh, bi, bh}, gradient({loss}, {scalar_like(loss, 1)}, weights), {}};
    graph.outputs.push_back(y);
    Graph lowered = apply_precision(graph, Precision::bf16);
    verify(lowered);
    GraphValues inputs = random_values(graph, 3);
    expect_near(run_graph(graph, inputs, "cpu"), run_graph(graph, inputs, "reference"), 1e-4,
                "f32");
    expect_near(run_graph(lowered, inputs, "cpu"), run_graph(graph, inputs, "reference"), 0.05,
                "bf16 against f32");
  }
}

}  // namespace
}  // namespace wafer
