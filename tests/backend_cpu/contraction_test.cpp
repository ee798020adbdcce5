#include "wafer/backend/cpu/contraction.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tests/backend_cpu/compare.h"
#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/own_conv.h"
#include "wafer/backend/cpu/team.h"
#include "wafer/base/threads.h"
#include "wafer/op/conv.h"
#include "wafer/op/matmul.h"

namespace wafer {
namespace {
using testing::Bytes;
using testing::compare;
using testing::last;
using testing::pick;
using testing::rows;
using testing::variable;
using testing::with_layouts;

struct ConvCase {
  std::vector<int64_t> x, weight;
  ConvAttrs attrs;
};

// Odd sizes, uneven padding, groups; small enough for the reference.
ConvCase random_conv_case(RandomStream& random) {
  size_t spatial = 1 + random.below(3);
  int64_t groups = pick(random, {1, 1, 1, 2, 3});
  int64_t in = pick(random, {1, 3, 17, 4}), out = pick(random, {1, 3, 17, 8});
  if (random.below(6) == 0) {  // depthwise
    groups = pick(random, {3, 17, 32});
    in = out = 1;
  }
  ConvCase c;
  c.x = {pick(random, {1, 7, 2}), in * groups};
  c.weight = {out * groups, in};
  c.attrs.groups = groups;
  for (size_t i = 0; i < spatial; ++i) {
    int64_t kernel = pick(random, {1, 2, 3, 3}), dilation = pick(random, {1, 1, 2});
    int64_t low = pick(random, {0, 1, 2}), high = pick(random, {0, 1, 2});
    int64_t window = dilation * (kernel - 1) + 1;
    int64_t size = std::max<int64_t>(window, spatial == 3 ? 4 : 9) + pick(random, {0, 1, 2});
    c.x.push_back(size);
    c.weight.push_back(kernel);
    c.attrs.stride.push_back(pick(random, {1, 1, 2, 3}));
    c.attrs.padding_low.push_back(low);
    c.attrs.padding_high.push_back(high);
    c.attrs.dilation.push_back(dilation);
  }
  return c;
}

struct ConvNodes {
  Tensor forward, input_gradient, weight_gradient;
};
ConvNodes nodes_of(const ConvCase& c, DType dtype, Layout layout) {
  Tensor x = variable(dtype, c.x), weight = variable(dtype, c.weight);
  Tensor y = make(op::conv, {x, weight}, c.attrs);
  Tensor g = make_input(y.type(), "g");
  return {
      with_layouts(y, {layout, rows}, layout),
      with_layouts(conv_input_gradient(g, weight, x.shape(), c.attrs), {layout, rows}, layout),
      with_layouts(conv_weight_gradient(x, g, weight.shape(), c.attrs), {layout, layout}, rows)};
}

TEST(CpuContraction, ConvolutionsMatchTheReference) {
  RandomStream random(1);
  for (DType dtype : {DType::f32, DType::f32, DType::bf16, DType::f16, DType::f64}) {
    for (int trial = 0; trial < 8; ++trial) {
      ConvCase c = random_conv_case(random);
      for (Layout layout : {rows, last}) {
        ConvNodes nodes = nodes_of(c, dtype, layout);
        compare(nodes.forward, random, 4);
        compare(nodes.input_gradient, random, 4);
        compare(nodes.weight_gradient, random, 8);
      }
    }
  }
}

// Compares make_own(problem, context) with the reference on random inputs.
template <class MakeOwn>
void compare_with_reference(const Tensor& y, RandomStream& random, const MakeOwn& make_own,
                            double scale = 8) {
  const Node& node = y.node();
  std::vector<Bytes> inputs;
  for (const Tensor& input : node.inputs) {
    inputs.push_back(testing::random_bytes(input.type(), random));
  }
  KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
  Step step = make_own(cpu::conv_problem(node), context);
  auto got = testing::run_step(step, context.scratch_bytes, node.outputs, inputs);
  auto expected = testing::run_kernel(reference::find_kernel(*node.op), node, inputs, "reference");
  testing::expect_close(
      node.outputs[0], got[0], expected[0], scale,
      str("own ", node.op->name, " ", node.attrs.text(), " ", node.inputs[0].type()));
}

// What oneDNN computes in its build, this library's own kernels must compute as well.
TEST(CpuContraction, OwnConvolutionsMatchTheReference) {
  RandomStream random(2);
  auto check = [&](const Tensor& y, const auto& make_own) {
    compare_with_reference(y, random, make_own);
  };
  for (DType dtype : {DType::f32, DType::f32, DType::bf16, DType::f16}) {
    for (int trial = 0; trial < 20; ++trial) {
      ConvCase c = random_conv_case(random);
      ConvNodes nodes = nodes_of(c, dtype, trial % 2 ? rows : last);
      check(nodes.forward, [](const auto& p, auto& k) { return cpu::own::make_conv(p, {}, k); });
      check(nodes.input_gradient,
            [](const auto& p, auto& k) { return cpu::own::make_conv_input_gradient(p, k); });
      check(nodes.weight_gradient,
            [](const auto& p, auto& k) { return cpu::own::make_conv_weight_gradient(p, k); });
    }
  }
}

ConvCase random_winograd_case(RandomStream& random) {
  ConvCase c;
  c.x = {pick(random, {1, 7, 2}), pick(random, {16, 32, 48})};
  c.weight = {pick(random, {16, 32, 80}), c.x[1], 3, 3};
  c.attrs.groups = 1;
  for (int axis = 0; axis < 2; ++axis) {
    c.x.push_back(pick(random, {3, 4, 7, 13}));
    c.attrs.stride.push_back(1);
    c.attrs.padding_low.push_back(pick(random, {0, 1, 2, 5}));
    c.attrs.padding_high.push_back(pick(random, {0, 1, 3}));
    c.attrs.dilation.push_back(1);
  }
  return c;
}

// Tiles that reach over every edge, panels that are half full, few and many tiles.
TEST(CpuContraction, WinogradMatchesTheReference) {
  RandomStream random(6);
  namespace own = cpu::own;
  for (int trial = 0; trial < 20; ++trial) {
    ConvNodes nodes = nodes_of(random_winograd_case(random), DType::f32, last);
    ASSERT_TRUE(own::is_winograd(cpu::conv_problem(nodes.forward.node())));
    compare_with_reference(nodes.forward, random,
                           [](const auto& p, auto& k) { return own::make_winograd(p, {}, k); });
    compare_with_reference(nodes.input_gradient, random, [](const auto& p, auto& k) {
      return own::make_winograd_input_gradient(p, k);
    });
    compare_with_reference(nodes.weight_gradient, random, [](const auto& p, auto& k) {
      return own::make_winograd_weight_gradient(p, k);
    });
  }
}

TEST(CpuContraction, PointwiseMatchesTheReference) {
  RandomStream random(8);
  namespace own = cpu::own;
  for (int trial = 0; trial < 12; ++trial) {
    int64_t in = pick(random, {1, 17, 64, 300}), out = pick(random, {1, 33, 48, 260});
    ConvCase c{{pick(random, {1, 3}), in, pick(random, {1, 7}), pick(random, {1, 5, 20})},
               {out, in, 1, 1},
               {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1}};
    ConvNodes nodes = nodes_of(c, DType::f32, last);
    compare_with_reference(nodes.forward, random,
                           [](const auto& p, auto& k) { return own::make_pointwise(p, {}, k); });
    compare_with_reference(nodes.weight_gradient, random, [](const auto& p, auto& k) {
      return own::make_pointwise_weight_gradient(p, k);
    });
  }
}

// Widths of all groups of positions, windows of more taps than are summed in one go, and such that
// reach over both edges.
TEST(CpuContraction, DepthwiseMatchesTheReference) {
  RandomStream random(11);
  for (int trial = 0; trial < 24; ++trial) {
    int64_t channels = pick(random, {2, 3, 8, 17, 40});
    ConvCase c{{pick(random, {1, 3}), channels}, {channels, 1}, {}};
    c.attrs.groups = channels;
    std::vector<int64_t> kernel = {pick(random, {1, 3}), pick(random, {1, 3, 5})};
    if (trial % 6 == 0) kernel = {70};
    if (trial % 6 == 1) kernel = {9, 8};
    if (trial % 6 == 2) kernel = {2, 3, 3};
    for (int64_t size : kernel) {
      int64_t dilation = pick(random, {1, 1, 2}), edge = pick(random, {0, 1, size - 1});
      c.weight.push_back(size);
      c.x.push_back(std::max(dilation * (size - 1) + 1 - 2 * edge, int64_t{1}) +
                    static_cast<int64_t>(random.below(24)));
      c.attrs.stride.push_back(pick(random, {1, 1, 2}));
      c.attrs.padding_low.push_back(edge);
      c.attrs.padding_high.push_back(edge);
      c.attrs.dilation.push_back(dilation);
    }
    compare_with_reference(
        nodes_of(c, DType::f32, last).forward, random,
        [](const auto& p, auto& k) { return cpu::own::make_depthwise(p, {}, k); });
  }
}

TEST(CpuContraction, WinogradIsTakenWhereItPays) {
  if (cpu::isa() == cpu::Isa::portable) GTEST_SKIP() << "WAFER_ISA=portable leaves it to oneDNN";
  std::vector<float> values(64 * 64 * 9);
  auto taken = [&](int64_t batch, int64_t channels, int64_t size, int64_t stride, bool known) {
    ConvCase c{{batch, channels, size, size},
               {channels, channels, 3, 3},
               {{stride, stride}, {1, 1}, {1, 1}, {1, 1}, 1}};
    ConvNodes nodes = nodes_of(c, DType::f32, last);
    cpu::ConvProblem problem = cpu::conv_problem(nodes.forward.node());
    if (known) problem.weight_values = values.data();
    KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
    cpu::make_conv(problem, {}, context);
    return context.kernel.starts_with("own winograd");
  };
  EXPECT_TRUE(taken(4, 64, 32, 1, false));
  EXPECT_FALSE(taken(4, 64, 32, 2, false));
  EXPECT_FALSE(taken(4, 17, 32, 1, false));
  EXPECT_FALSE(taken(64, 64, 2, 1, false));  // smaller than a tile
  EXPECT_FALSE(taken(1, 64, 16, 1, false));  // 16 tiles do not pay for a transformed weight
  EXPECT_TRUE(taken(1, 64, 16, 1, true));
}

// Weights that are known are packed, and transformed, once.
TEST(CpuContraction, KnownWeightsGiveTheSameBits) {
  RandomStream random(9);
  for (int64_t kernel : {1, 3, 5}) {
    bool depthwise = kernel == 5;
    ConvCase c{{2, 32, 9, 9},
               {depthwise ? 32 : 48, depthwise ? 1 : 32, kernel, kernel},
               {{1, 1}, {kernel / 2, kernel / 2}, {kernel / 2, kernel / 2}, {1, 1}, 1}};
    if (depthwise) c.attrs.groups = 32;
    ConvNodes nodes = nodes_of(c, DType::f32, last);
    const Node& node = nodes.forward.node();
    Bytes x = testing::random_bytes(node.inputs[0].type(), random);
    Bytes weight = testing::random_bytes(node.inputs[1].type(), random);
    auto run = [&](bool known) {
      cpu::ConvProblem problem = cpu::conv_problem(node);
      if (known) problem.weight_values = weight.data();
      KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
      Step step = kernel == 1   ? cpu::own::make_pointwise(problem, {}, context)
                  : kernel == 3 ? cpu::own::make_winograd(problem, {}, context)
                                : cpu::own::make_depthwise(problem, {}, context);
      // What was made of known weights is not read again.
      Bytes given = known ? Bytes(weight.size()) : weight;
      return testing::run_step(step, context.scratch_bytes, node.outputs, {x, given})[0];
    };
    EXPECT_EQ(run(false), run(true)) << "kernel " << kernel;
  }
}

// Known or not, strides, padding and groups or none: the same bits, whichever way they are
// computed.
TEST(CpuContraction, OwnConvolutionsOfKnownWeights) {
  RandomStream random(15);
  for (int trial = 0; trial < 40; ++trial) {
    ConvCase c = random_conv_case(random);
    if (trial % 4 > 0) std::fill(c.weight.begin() + 2, c.weight.end(), 1);
    if (trial % 4 > 1) {
      for (auto* sizes : {&c.attrs.padding_low, &c.attrs.padding_high})
        std::fill(sizes->begin(), sizes->end(), 0);
      std::fill(c.attrs.stride.begin(), c.attrs.stride.end(), trial % 4 == 2 ? 1 : 2);
    }
    const Tensor forward = nodes_of(c, DType::f32, last).forward;
    const Node& node = forward.node();
    std::vector<Bytes> inputs = {testing::random_bytes(node.inputs[0].type(), random),
                                 testing::random_bytes(node.inputs[1].type(), random)};
    auto run = [&](bool known) {
      cpu::ConvProblem problem = cpu::conv_problem(node);
      if (known) problem.weight_values = inputs[1].data();
      KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
      Step step = cpu::own::make_conv(problem, {}, context);
      return testing::run_step(step, context.scratch_bytes, node.outputs, inputs)[0];
    };
    Bytes got = run(true);
    EXPECT_EQ(got, run(false)) << node.attrs.text();
    auto expected =
        testing::run_kernel(reference::find_kernel(op::conv), node, inputs, "reference");
    testing::expect_close(node.outputs[0], got, expected[0], 8, "known weights");
  }
}

// Weights so large that blocks are, too, and more tiles than a weight's gradient takes at a time.
// Sums are long, and their errors with them.
TEST(CpuContraction, WinogradOfManyChannelsAndTiles) {
  RandomStream random(10);
  namespace own = cpu::own;
  const ConvAttrs attrs{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
  auto weight_gradient = [](const auto& p, auto& k) {
    return own::make_winograd_weight_gradient(p, k);
  };
  ConvNodes channels = nodes_of({{10, 128, 8, 8}, {128, 128, 3, 3}, attrs}, DType::f32, last);
  compare_with_reference(
      channels.forward, random, [](const auto& p, auto& k) { return own::make_winograd(p, {}, k); },
      32);
  // Its gradient is shared by points, since there are few tiles, the next one's by tiles.
  ThreadCountScope three(3);
  compare_with_reference(channels.weight_gradient, random, weight_gradient, 64);
  ConvNodes tiles = nodes_of({{7, 16, 47, 47}, {16, 16, 3, 3}, attrs}, DType::f32, last);
  compare_with_reference(tiles.weight_gradient, random, weight_gradient, 64);
}

// The root of the mean square of errors, as a part of that of the results: with 64 channels about
// 1e-6, where a plain sum in f32 comes to 4e-7.
TEST(CpuContraction, WinogradIsAsExactAsStated) {
  RandomStream random(7);
  ConvCase c{{2, 64, 17, 16}, {64, 64, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1}};
  auto check = [&](const Tensor& y, const Tensor& exact_y, const auto& make_step) {
    std::vector<Bytes> inputs, exact_inputs;
    for (const Tensor& input : y.node().inputs) {
      std::vector<float> values(static_cast<size_t>(input.type().elements()));
      for (float& value : values) value = random.uniform() - 0.5f;
      inputs.push_back(testing::bytes_of(values));
      exact_inputs.push_back(testing::bytes_of(std::vector<double>(values.begin(), values.end())));
    }
    KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
    Step step = make_step(cpu::conv_problem(y.node()), context);
    Bytes got = testing::run_step(step, context.scratch_bytes, y.node().outputs, inputs)[0];
    Bytes exact = testing::run_kernel(reference::find_kernel(*exact_y.node().op), exact_y.node(),
                                      exact_inputs, "reference")[0];
    double errors = 0, squares = 0;
    for (int64_t i = 0; i < y.type().elements(); ++i) {
      double expected = testing::element(exact_y.type(), exact, i);
      errors += std::pow(testing::element(y.type(), got, i) - expected, 2);
      squares += std::pow(expected, 2);
    }
    EXPECT_LT(std::sqrt(errors / squares), 2e-6) << y.node().op->name;
  };
  ConvNodes nodes = nodes_of(c, DType::f32, last), exact = nodes_of(c, DType::f64, last);
  namespace own = cpu::own;
  check(nodes.forward, exact.forward,
        [](const auto& p, auto& k) { return own::make_winograd(p, {}, k); });
  check(nodes.input_gradient, exact.input_gradient,
        [](const auto& p, auto& k) { return own::make_winograd_input_gradient(p, k); });
  check(nodes.weight_gradient, exact.weight_gradient,
        [](const auto& p, auto& k) { return own::make_winograd_weight_gradient(p, k); });
}

TEST(CpuContraction, EmptyConvolutions) {
  RandomStream random(3);
  ConvCase no_images{{0, 3, 5, 5}, {4, 3, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1}};
  ConvCase no_channels{{2, 0, 5, 5}, {4, 0, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1}};
  // All of y is made of padding.
  ConvCase no_rows{{8, 16, 0, 8}, {16, 16, 3, 3}, {{1, 1}, {4, 1}, {4, 1}, {1, 1}, 1}};
  for (const ConvCase& c : {no_images, no_channels, no_rows}) {
    for (Layout layout : {rows, last}) {
      ConvNodes nodes = nodes_of(c, DType::f32, layout);
      compare(nodes.forward, random);
      compare(nodes.input_gradient, random);
      compare(nodes.weight_gradient, random);
    }
  }
}

TEST(CpuContraction, MatmulMatchesTheReference) {
  RandomStream random(4);
  for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i32, DType::u8,
                      DType::i64, DType::i16}) {
    for (int trial = 0; trial < 12; ++trial) {
      int64_t m = pick(random, {1, 7, 17, 64, 100}), n = pick(random, {1, 3, 17, 130});
      int64_t k = pick(random, {1, 3, 17, 65, 300});
      if (trial == 10) m = 0;
      if (trial == 11) k = 0;
      std::vector<int64_t> batch;
      if (trial % 3 == 1) batch = {pick(random, {1, 3, 0})};
      if (trial % 3 == 2) batch = {2, 3};
      bool ta = random.below(2), tb = random.below(2);
      auto sizes = [&](int64_t r, int64_t c, bool transposed) {
        std::vector<int64_t> result = batch;
        result.push_back(transposed ? c : r);
        result.push_back(transposed ? r : c);
        return result;
      };
      Tensor a = variable(dtype, sizes(m, k, ta)), b = variable(dtype, sizes(k, n, tb));
      Tensor y = make(op::matmul, {a, b}, MatmulAttrs{ta, tb});
      compare(y, random, 8);
      cpu::MatmulProblem problem = cpu::matmul_problem(y.node());
      std::vector<Bytes> inputs = {testing::random_bytes(a.type(), random),
                                   testing::random_bytes(b.type(), random)};
      KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
      Step step = cpu::own::make_matmul(problem, {}, context);
      auto got = testing::run_step(step, context.scratch_bytes, y.node().outputs, inputs);
      auto expected =
          testing::run_kernel(reference::find_kernel(op::matmul), y.node(), inputs, "reference");
      testing::expect_close(y.type(), got[0], expected[0], 8, "own matmul");
    }
  }
}

// Few rows are multiplied by several panels at a time, more of them by one, and very many are
// shared in parts of many sizes: the same sums. A b that is known is not read again.
TEST(CpuContraction, ProductsOfFewAndManyRowsAndKnownWeights) {
  RandomStream random(14);
  auto check = [&](int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose) {
    Type a{DType::f32, transpose_a ? Shape{k, m} : Shape{m, k}}, y{DType::f32, Shape{m, n}},
        bias{DType::f32, Shape{n}};
    Type b{DType::f32, transpose ? Shape{n, k} : Shape{k, n}};
    cpu::Epilogue epilogue{.bias = 2, .residual = 3, .relu = true};
    std::vector<Bytes> inputs;
    for (const Type& type : {a, b, bias, y}) inputs.push_back(testing::random_bytes(type, random));
    auto run = [&](bool known) {
      cpu::MatmulProblem problem{a, b, y, transpose_a, transpose};
      std::vector<Bytes> given = inputs;
      if (known) {
        problem.b_values = inputs[1].data();
        given[1] = Bytes(inputs[1].size());
      }
      KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
      Step step = cpu::own::make_matmul(problem, epilogue, context);
      return testing::run_step(step, context.scratch_bytes, {y}, given)[0];
    };
    Bytes got = run(true);
    EXPECT_EQ(got, run(false)) << m << " x " << n << " x " << k;
    auto value = [&](const Bytes& bytes, int64_t i) {
      return reinterpret_cast<const float*>(bytes.data())[i];
    };
    for (int64_t i = 0; i < m * n; ++i) {
      double sum = value(inputs[2], i % n), size = std::abs(sum);
      sum += value(inputs[3], i);
      for (int64_t p = 0; p < k; ++p) {
        int64_t at = transpose ? i % n * k + p : p * n + i % n;
        int64_t a_at = transpose_a ? p * m + i / n : i / n * k + p;
        double product = double{value(inputs[0], a_at)} * value(inputs[1], at);
        sum += product;
        size += std::abs(product);
      }
      ASSERT_NEAR(value(got, i), std::max(sum, 0.0), 1e-6 * (1 + size)) << m << " x " << n;
    }
  };
  for (int64_t m : {1, 2, 3, 4, 7, 97}) {
    for (int64_t n : {1, 17, 64, 130, 1030}) {
      for (int64_t k : {1, 3, 300}) check(m, n, k, random.below(2), random.below(2));
    }
  }
  ThreadCountScope two(2);
  for (bool transpose_a : {false, true}) {
    for (bool transpose : {false, true}) check(787, 140, 340, transpose_a, transpose);
  }
}

// However many threads share a product, by rows, by columns or by depth, and also where fewer run
// it than it was made for.
TEST(CpuContraction, ProductsOfManyThreads) {
  RandomStream random(15);
  for (int threads : {1, 2, 3, 5}) {
    for (auto [m, n, k] : {std::array<int64_t, 3>{64, 70, 1030},
                           {33, 130, 700},
                           {64, 512, 300},
                           {512, 130, 70},
                           {100, 4100, 17},
                           {300, 40, 90},
                           {60, 2100, 300}}) {
      for (bool ta : {false, true}) {
        for (bool tb : {false, true}) {
          Tensor a = variable(DType::f32, ta ? std::vector{k, m} : std::vector{m, k});
          Tensor b = variable(DType::f32, tb ? std::vector{n, k} : std::vector{k, n});
          Tensor y = make(op::matmul, {a, b}, MatmulAttrs{ta, tb});
          std::vector<Bytes> inputs = {testing::random_bytes(a.type(), random),
                                       testing::random_bytes(b.type(), random)};
          auto expected = testing::run_kernel(reference::find_kernel(op::matmul), y.node(), inputs,
                                              "reference");
          KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
          ThreadCountScope made_for(threads);
          Step step = cpu::own::make_matmul(cpu::matmul_problem(y.node()), {}, context);
          for (int run_by : {threads, 1}) {
            ThreadCountScope scope(run_by);
            auto got = testing::run_step(step, context.scratch_bytes, y.node().outputs, inputs);
            testing::expect_close(
                y.type(), got[0], expected[0], 8,
                str(threads, " and ", run_by, " threads, ", m, " x ", n, " x ", k));
          }
        }
      }
    }
  }
}

// Bias, residual and ReLU behind a product equal the same steps one by one, and NaN survives. The
// limit is among what is computed.
TEST(CpuContraction, Epilogues) {
  RandomStream random(5);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (bool with_bias : {false, true}) {
    for (bool with_residual : {false, true}) {
      for (double limit : {-1.0, HUGE_VAL, 0.5}) {
        bool relu = limit > 0;
        cpu::Epilogue epilogue{.relu = relu, .limit = relu ? limit : HUGE_VAL};
        Type x{DType::f32, Shape{7, 20, 6, 5}, last}, weight{DType::f32, Shape{17, 20, 3, 3}};
        Type y{DType::f32, Shape{7, 17, 6, 5}, last}, bias{DType::f32, Shape{17}};
        cpu::ConvProblem conv{x, weight, y, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
        Type a{DType::f32, Shape{30, 300}}, b{DType::f32, Shape{49, 300}},
            c{DType::f32, Shape{30, 49}}, bias49{DType::f32, Shape{49}};
        cpu::MatmulProblem product{a, b, c, false, true};
        int next = 2;
        if (with_bias) epilogue.bias = next++;
        if (with_residual) epilogue.residual = next++;

        auto check = [&](const std::vector<Type>& operands, const Type& result, const Type& bias,
                         const auto& make_step) {
          std::vector<Bytes> inputs;
          for (const Type& type : operands) inputs.push_back(testing::random_bytes(type, random));
          reinterpret_cast<float*>(inputs[0].data())[3] = nan;
          if (with_bias) inputs.push_back(testing::random_bytes(bias, random));
          if (with_residual) inputs.push_back(testing::random_bytes(result, random));
          auto run = [&](const cpu::Epilogue& e) {
            KernelContext context{.target = device("cpu")->target(), .output_used = {true}};
            Step step = make_step(e, context);
            FlushDenormals as_in_a_run;
            cpu::FlushDenormalsInTeam in_its_threads;
            return testing::run_step(step, context.scratch_bytes, {result}, inputs)[0];
          };
          Bytes plain = run({}), got = run(epilogue);
          auto* expected = reinterpret_cast<float*>(plain.data());
          for (int64_t i = 0; i < result.elements(); ++i) {
            if (with_bias) {
              expected[i] +=
                  static_cast<float>(testing::element(bias, inputs[2], i % bias.elements()));
            }
            if (with_residual) {
              expected[i] += static_cast<float>(testing::element(result, inputs.back(), i));
            }
            if (relu && expected[i] < 0) expected[i] = 0;
            if (relu && expected[i] > limit) expected[i] = static_cast<float>(limit);
          }
          testing::expect_close(result, got, plain, 4,
                                str("epilogue ", with_bias, with_residual, limit));
        };
        check({x, weight}, y, bias,
              [&](const auto& e, auto& k) { return cpu::make_conv(conv, e, k); });
        check({x, weight}, y, bias,
              [&](const auto& e, auto& k) { return cpu::own::make_conv(conv, e, k); });
        Type x16{DType::f32, Shape{7, 16, 6, 5}, last}, y16{DType::f32, Shape{7, 32, 6, 5}, last};
        Type weight16{DType::f32, Shape{32, 16, 3, 3}}, bias32{DType::f32, Shape{32}};
        cpu::ConvProblem tiled{x16, weight16, y16, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
        check({x16, weight16}, y16, bias32,
              [&](const auto& e, auto& k) { return cpu::own::make_winograd(tiled, e, k); });
        Type each{DType::f32, Shape{17, 1, 3, 3}}, x17{DType::f32, Shape{7, 17, 6, 5}, last};
        cpu::ConvProblem depthwise{x17, each, y, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 17};
        check({x17, each}, y, bias,
              [&](const auto& e, auto& k) { return cpu::own::make_depthwise(depthwise, e, k); });
        check({a, b}, c, bias49,
              [&](const auto& e, auto& k) { return cpu::make_matmul(product, e, k); });
        check({a, b}, c, bias49,
              [&](const auto& e, auto& k) { return cpu::own::make_matmul(product, e, k); });
      }
    }
  }
}

}  // namespace
}  // namespace wafer
