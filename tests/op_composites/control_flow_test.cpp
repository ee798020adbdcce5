#include "wafer/op/control_flow.h"

#include <numeric>

#include "tests/op_composites/expected.h"
#include "wafer/op/activation.h"
#include "wafer/op/create.h"
#include "wafer/op/index.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/recurrent.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

namespace wafer {
namespace {
using namespace testing;
using Tensors = std::vector<Tensor>;

// h = tanh(h w + x), y = 2 h.
ScanBody cell(const Tensor& w) {
  return [w](const Tensors& carries, const Tensors& xs) -> ScanStep {
    Tensor h = tanh(matmul(carries[0], w) + xs[0]);
    return {{h}, {h * 2.0}};
  };
}

// The same step by step.
ScanResult unrolled(const ScanBody& body, Tensors carries, const Tensors& xs, bool reverse) {
  int64_t length = xs[0].size(0);
  std::vector<Tensors> ys(static_cast<size_t>(length));
  for (int64_t i = 0; i < length; ++i) {
    int64_t t = reverse ? length - 1 - i : i;
    Tensors elements;
    for (const Tensor& x : xs) elements.push_back(squeeze(narrow(x, 0, t, t + 1), 0));
    ScanStep step = body(carries, elements);
    carries = step.carries;
    ys[static_cast<size_t>(t)] = step.ys;
  }
  ScanResult result{carries, {}};
  for (size_t i = 0; i < ys[0].size(); ++i) {
    Tensors parts;
    for (const Tensors& step : ys) parts.push_back(step[i]);
    result.ys.push_back(stack(parts));
  }
  return result;
}

TEST(Scan, EqualsTheUnrolledLoop) {
  Tensor w = numbers({3, 3}), h = numbers({2, 3}, 0.1), x = numbers({5, 2, 3}, 0.7);
  for (bool reverse : {false, true}) {
    ScanResult a = scan(cell(w), {h}, {x}, {.reverse = reverse});
    ScanResult b = unrolled(cell(w), {h}, {x}, reverse);
    expect_close(a.carries[0], b.carries[0], 1e-14, "carry");
    expect_close(a.ys[0], b.ys[0], 1e-14, "ys");
    Tensor g = numbers({5, 2, 3}, 0.9), gh = numbers({2, 3}, 0.4);
    Tensors found = grad({a.ys[0], a.carries[0]}, {g, gh}, {w, h, x});
    Tensors expected = grad({b.ys[0], b.carries[0]}, {g, gh}, {w, h, x});
    for (size_t i = 0; i < 3; ++i) expect_close(found[i], expected[i], 1e-13, str("gradient ", i));
  }
}

TEST(Scan, GradientsByDifferences) {
  for (bool reverse : {false, true}) {
    for (bool save : {false, true}) {
      check_differences(
          [&](const Tensors& in) -> Tensors {
            // Two carries, one of which leaves as a y; two xs, one of them without gradient.
            auto body = [&](const Tensors& c, const Tensors& x) -> ScanStep {
              Tensor a = sigmoid(c[0] * in[3] + x[0]), b = c[1] * a + cast(x[1], DType::f64);
              return {{a, b}, {b, a * c[0]}};
            };
            auto r = scan(body, {in[0], in[1]}, {in[2], arange(4)},
                          {.reverse = reverse, .save_carries = save});
            return {r.carries[0], r.carries[1], r.ys[0], r.ys[1]};
          },
          {numbers({3}), numbers({3}, 0.2), numbers({4, 3}, 0.5), numbers({3}, 0.8)});
    }
  }
}

TEST(Scan, SecondDerivatives) {
  check_differences(
      [](const Tensors& in) -> Tensors {
        auto body = [&](const Tensors& c, const Tensors& x) -> ScanStep {
          Tensor h = tanh(c[0] * in[1] + x[0]);
          return {{h}, {h}};
        };
        auto r = scan(body, {in[0]}, {in[2]});
        return grad(reduce_sum(square(r.ys[0])), {in[0], in[1], in[2]});
      },
      {numbers({2}), numbers({2}, 0.4), numbers({3, 2}, 0.6)}, 1e-5);
}

TEST(Scan, IntegerCarryAndGivenLength) {
  // Powers of x: the integer counter has no gradient but the gradient needs its values.
  Tensor x = numbers({3});
  auto body = [&](const Tensors& c, const Tensors&) -> ScanStep {
    return {{c[0] + 1.0, c[1] + cast(c[0], DType::f64) * pow(x, cast(c[0], DType::f64))}, {c[0]}};
  };
  ScanResult r = scan(body, {Tensor(int64_t{0}), zeros({3}, DType::f64)}, {}, {.length = 4});
  EXPECT_EQ(r.carries[0].item<int64_t>(), 4);
  EXPECT_EQ(r.ys[0].data<int64_t>(), (std::vector<int64_t>{0, 1, 2, 3}));
  Tensor expected = x + 2.0 * square(x) + 3.0 * x * square(x);
  expect_close(r.carries[1], expected, 1e-14, "sum");
  Tensor by_x = grad(reduce_sum(r.carries[1]), {x})[0];
  expect_close(by_x, 1.0 + 4.0 * x + 9.0 * square(x), 1e-13, "gradient");
}

TEST(Scan, OfNothing) {
  Tensor x = zeros({0, 3}, DType::f64), h = numbers({3}), w = numbers({3});
  auto body = [&](const Tensors& c, const Tensors& in) -> ScanStep {
    return {{c[0] * w + in[0]}, {c[0]}};
  };
  ScanResult r = scan(body, {h}, {x});
  EXPECT_EQ(r.ys[0].shape(), (Shape{0, 3}));
  EXPECT_TRUE(r.ys[0].data<double>().empty());
  expect_close(r.carries[0], h, 0, "carry");
  Tensors g = grad({r.carries[0]}, {ones({3}, DType::f64)}, {h, w, x});
  expect_close(g[0], ones({3}, DType::f64), 0, "by the carry");
  expect_close(g[1], zeros({3}, DType::f64), 0, "by the capture");
  EXPECT_EQ(g[2].shape(), (Shape{0, 3}));
}

size_t nodes_in(const Graph& graph) {
  size_t count = 0;
  for (const Node* node : topological_order(graph)) {
    ++count;
    for (const auto& subgraph : node->subgraphs) count += nodes_in(*subgraph);
  }
  return count;
}

TEST(Scan, GradientDoesNotGrowWithLength) {
  auto size = [](int64_t length) {
    Tensor w = numbers({3, 3}), h = numbers({2, 3}), x = zeros({length, 2, 3}, DType::f64);
    ScanResult r = scan(cell(w), {h}, {x});
    return nodes_in(Graph{{}, grad({r.ys[0]}, {ones_like(r.ys[0])}, {w, h}), {}});
  };
  EXPECT_EQ(size(3), size(3000));
}

TEST(Scan, CapturesValuesOfTheEnclosingTrace) {
  Tensor outside = make_input({DType::f32, {2}}, "outside"), doubled = outside + outside;
  Tensor x = make_input({DType::f32, {4, 2}}, "x"), h = make_input({DType::f32, {2}}, "h");
  auto body = [&](const Tensors& c, const Tensors& in) -> ScanStep {
    return {{c[0] * doubled + in[0] * 3.0}, {}};
  };
  Tensor result = scan(body, {h}, {x}).carries[0];
  ASSERT_EQ(result.node().inputs.size(), 3u);  // carry, x, capture; the number 3 stays inside
  EXPECT_TRUE(result.node().inputs[2] == doubled);
  verify(Graph{{outside, x, h}, {result}, {}});
  verify(*result.node().subgraphs[0]);
}

TEST(Scan, InsideAScan) {
  check_differences(
      [](const Tensors& in) -> Tensors {
        auto outer = [&](const Tensors& c, const Tensors& x) -> ScanStep {
          auto inner = [&](const Tensors& d, const Tensors& y) -> ScanStep {
            return {{d[0] * x[0] + y[0] * in[2]}, {}};
          };
          Tensor h = scan(inner, {c[0]}, {in[1]}).carries[0];
          return {{h}, {h}};
        };
        auto r = scan(outer, {in[0]}, {in[1]});
        return {r.carries[0], r.ys[0]};
      },
      {numbers({2}), numbers({3, 2}, 0.5), numbers({2}, 0.9)});
}

TEST(Scan, KeepsSymbolicDimensions) {
  Tensor x = symbolic({Dim::symbol("time"), Dim::symbol("batch"), 3});
  Tensor h = zeros(Shape{Dim::symbol("batch"), 3}), w = zeros({3, 3});
  ScanResult r = scan(cell(w), {h}, {x});
  EXPECT_EQ(r.ys[0].shape().text(), "timexbatchx3");
  EXPECT_EQ(r.carries[0].shape().text(), "batchx3");
  EXPECT_NE(message_of([&] { scan_length(r.ys[0].node()); }).find("'time' is symbolic"),
            std::string::npos);
}

TEST(Scan, Errors) {
  Tensor x = zeros({4, 2}), h = zeros({2});
  auto keep = [](const Tensors& c, const Tensors&) -> ScanStep { return {c, {}}; };
  EXPECT_EQ(message_of([&] { scan(keep, {h}, {}); }),
            "[scan] without xs the options must give a length");
  EXPECT_EQ(message_of([&] {
              scan(keep, {h}, {x, zeros({5, 2})});
            }),
            "[scan] lengths differ; got xs 1 of 5x2; expected 4 along dimension 0");
  EXPECT_EQ(message_of([&] { scan(keep, {h}, {Tensor(1.0)}); }),
            "[scan] xs 0 is a scalar or empty; expected [length, ...]");
  auto widen = [](const Tensors& c, const Tensors&) -> ScanStep {
    return {{cast(c[0], DType::f64)}, {}};
  };
  EXPECT_EQ(message_of([&] { scan(widen, {h}, {x}); }),
            "[scan] carry 0 does not keep its type; got f32[2] in, f64[2] out; expected the same "
            "type at every step; cast or reshape the first value or the body's result");
  auto drop = [](const Tensors&, const Tensors&) -> ScanStep { return {}; };
  EXPECT_EQ(message_of([&] { scan(drop, {h}, {x}); }),
            "[scan] carry: the body gives 0 values where 1 came in");
}

TEST(WhileLoop, Runs) {
  // Collatz steps from 27.
  Tensor limit = Tensor::from_values<int64_t>({1}, {1});
  auto condition = [&](const Tensors& s) { return squeeze(greater(s[0], limit), 0); };
  auto body = [](const Tensors& s) -> Tensors {
    Tensor odd = equal(remainder(s[0], Tensor(2)), 1.0);
    return {where(odd, s[0] * 3.0 + 1.0, floor_divide(s[0], Tensor(2))), s[1] + 1.0};
  };
  Tensors r =
      while_loop(condition, body, {Tensor::from_values<int64_t>({27}, {1}), Tensor(int64_t{0})});
  EXPECT_EQ(r[0].data<int64_t>()[0], 1);
  EXPECT_EQ(r[1].item<int64_t>(), 111);
  // No step at all.
  r = while_loop(condition, body, {limit, Tensor(int64_t{7})});
  EXPECT_EQ(r[1].item<int64_t>(), 7);
}

TEST(WhileLoop, Errors) {
  Tensor one(1.0);
  auto body = [](const Tensors& s) { return s; };
  EXPECT_EQ(message_of([&] { while_loop([](const Tensors& s) { return s[0]; }, body, {one}); }),
            "[while_loop] the condition is no boolean scalar; got f32[scalar]; expected "
            "bool[scalar]");
  auto run = [&] {
    Tensors r = while_loop([](const Tensors& s) { return less(s[0], 1.0); }, body, {one});
    grad(r[0], {one});
  };
  EXPECT_NE(message_of(run).find("[while_loop] has no gradient"), std::string::npos);
}

TEST(IfElse, TakesOneBranch) {
  Tensor x = numbers({3}), table = numbers({4}, 0.9);
  for (bool flag : {true, false}) {
    Tensor predicate = Tensor::from_values<bool>({flag}, {});
    auto results = [&](const Tensors& in) {
      return if_else(
          predicate,
          [&]() -> Tensors {
            return {in[0] * in[0], in[1] * 2.0};
          },
          [&]() -> Tensors {
            return {exp(in[0]), in[1]};
          });
    };
    Tensors r = results({x, table});
    expect_close(r[0], flag ? x * x : exp(x), 1e-15, "first");
    expect_close(r[1], flag ? table * 2.0 : table, 1e-15, "second");
    check_differences(results, {x, table});
  }
}

TEST(IfElse, RecordsEachBranchInside) {
  Tensor x = make_input({DType::f32, {2}}, "x"), p = make_input({DType::boolean, {}}, "p");
  Tensor r = if_else(
      p, [&]() -> Tensors { return {exp(x)}; }, [&]() -> Tensors { return {x}; })[0];
  ASSERT_EQ(r.node().inputs.size(), 2u);
  EXPECT_TRUE(r.node().inputs[1] == x);
  EXPECT_TRUE(r.node().subgraphs[0]->outputs[0].node().is(op::exp));
  verify(Graph{{x, p}, {r}, {}});
}

TEST(IfElse, Errors) {
  Tensor x = zeros({2}), p = Tensor::from_values<bool>({true}, {});
  EXPECT_EQ(message_of([&] {
              if_else(
                  p, [&]() -> Tensors { return {x}; }, [&]() -> Tensors { return {sum(x)}; });
            }),
            "[if_else] the branches differ in value 0; got f32[2] and f32[scalar]; expected the "
            "same type; cast or reshape one of them");
  EXPECT_EQ(message_of([&] {
              if_else(
                  x, [&]() -> Tensors { return {x}; }, [&]() -> Tensors { return {x}; });
            }),
            "[if_else] the predicate is f32[2]; expected a boolean scalar");
}

TEST(Recurrent, BatchFirstAndSingleSequences) {
  Tensor x = numbers({4, 2, 3});  // time, batch, features
  RecurrentWeights w{numbers({20, 3}, 0.1), numbers({20, 5}, 0.2), numbers({20}, 0.3), {}};
  RecurrentResult a = lstm(x, w);
  RecurrentResult b = lstm(swap_axes(x, 0, 1), w, {}, {}, {.batch_first = true});
  expect_close(swap_axes(b.outputs, 0, 1), a.outputs, 1e-15, "batch first");
  expect_close(b.cell, a.cell, 1e-15, "cell");
  RecurrentResult c = lstm(squeeze(narrow(x, 1, 1, 2), 1), w);
  EXPECT_EQ(c.outputs.shape(), (Shape{4, 5}));
  expect_close(c.hidden, squeeze(narrow(a.hidden, 0, 1, 2), 0), 1e-15, "one sequence");
}

TEST(Recurrent, GradientsByDifferences) {
  Tensors in = {numbers({3, 2, 2}), numbers({9, 2}, 0.1), numbers({9, 3}, 0.2),
                numbers({9}, 0.3),  numbers({9}, 0.4),    numbers({2, 3}, 0.5)};
  check_differences(
      [](const Tensors& v) -> Tensors {
        RecurrentResult r = gru(v[0], {v[1], v[2], v[3], v[4]}, v[5]);
        return {r.outputs, r.hidden};
      },
      in);
}

TEST(Recurrent, Errors) {
  RecurrentWeights w{zeros({15, 3}), zeros({15, 5}), {}, {}};
  EXPECT_EQ(message_of([&] {
              gru(zeros({4, 2, 7}), w);
            }),
            "[gru] the input has 7 features, the layer takes 3; got input 4x2x7, weight 15x3; "
            "expected an input [time, batch, 3]");
  EXPECT_EQ(message_of([&] {
              gru(zeros({4, 2, 3}), w, zeros({3, 5}));
            }),
            "[gru] the first hidden state does not fit; got input f32[4x2x3], first hidden state "
            "f32[3x5]; expected a first hidden state of f32[2x5]");
  EXPECT_NE(message_of([&] { lstm(zeros({4, 2, 3}), w); }).find("f32[20x3]"), std::string::npos);
  EXPECT_NE(message_of([&] {
              rnn(zeros({4, 2, 3}), w, {}, {}, "gelu");
            }).find("does not fit"),
            std::string::npos);
}

}  // namespace
}  // namespace wafer
