#include "wafer/op/reduce.h"

#include <gtest/gtest.h>

#include "tests/kernel/helpers.h"
#include "wafer/base/threads.h"

namespace wafer::cpu {
WAFER_KERNEL(reduce_sum);
WAFER_KERNEL(reduce_prod);
WAFER_KERNEL(reduce_max);
WAFER_KERNEL(reduce_min);
}  // namespace wafer::cpu

namespace wafer {
namespace {

using namespace wafer::testing;

struct Case {
  const OpDef* op;
  MakeKernel make;
  double first;
  double (*combine)(double, double);
};
const Case cases[] = {
    {&op::reduce_sum, cpu::kernel_reduce_sum, 0, [](double a, double b) { return a + b; }},
    {&op::reduce_prod, cpu::kernel_reduce_prod, 1, [](double a, double b) { return a * b; }},
    {&op::reduce_max, cpu::kernel_reduce_max, -INFINITY,
     [](double a, double b) { return std::isnan(a) || a > b ? a : b; }},
    {&op::reduce_min, cpu::kernel_reduce_min, INFINITY,
     [](double a, double b) { return std::isnan(a) || a < b ? a : b; }}};

Values expected_of(const Case& test, const Values& x, const std::vector<int64_t>& sizes,
                   const std::vector<int64_t>& axes, size_t outputs) {
  Values result(outputs, test.first);
  for (size_t i = 0; i < x.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t place = 0, scale = 1;
    for (size_t d = sizes.size(); d-- > 0;) {
      int64_t at = rest % sizes[d];
      rest /= sizes[d];
      if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(d)) != axes.end()) continue;
      place += at * scale;
      scale *= sizes[d];
    }
    double& total = result[static_cast<size_t>(place)];
    total = test.combine(total, x[i]);
  }
  return result;
}

void check(const Case& test, const Type& in, const std::vector<int64_t>& axes, Layout out_layout,
           std::mt19937& random, double low, double high, double tolerance) {
  Tensor x = make_input(in, "x");
  Tensor y = make(*test.op, {x}, ReduceAttrs{axes});
  Type out = y.type();
  out.layout = out_layout;
  Tensor placed = clone_node(y.node(), {x}, {out})[0];
  std::uniform_real_distribution<double> uniform(low, high);
  Values values(static_cast<size_t>(in.elements()));
  for (double& value : values) value = uniform(random);
  Bytes memory = to_memory(values, in);
  values = from_memory(memory, in);
  Values got = from_memory(run_step(placed.node(), {memory}, test.make)[0], out);
  Values expected = expected_of(test, values, in.shape.sizes(), axes, got.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], tolerance * (1 + std::abs(expected[i])))
        << test.op->name << " of " << in << " over " << attr_text(axes) << " element " << i;
}

TEST(Reduce, RandomShapesAxesAndLayouts) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int64_t> rank_of(0, 5), size_of(1, 9);
  std::uniform_int_distribution<int> coin(0, 1);
  for (int round = 0; round < 300; ++round) {
    std::vector<int64_t> sizes, axes;
    int64_t rank = rank_of(random);
    for (int64_t d = 0; d < rank; ++d) {
      sizes.push_back(size_of(random) * (coin(random) ? 1 : size_of(random)));
      if (coin(random)) axes.push_back(d);
    }
    Type in{DType::f32, Shape(sizes), coin(random) ? Layout::channels_last : Layout::row_major};
    if (in.elements() > 20000) continue;
    Layout out = coin(random) ? Layout::channels_last : Layout::row_major;
    for (const Case& test : cases) {
      double spread = test.op == &op::reduce_prod ? 0.01 : 1;
      check(test, in, axes, out, random, 1 - spread, 1 + spread, 1e-5);
    }
  }
}

TEST(Reduce, EveryDtype) {
  std::mt19937 random(2);
  for (DType dtype : computable_dtypes()) {
    if (dtype == DType::boolean) continue;
    double tolerance = dtype == DType::bf16 ? 5e-3 : dtype == DType::f16 ? 1e-3 : 1e-6;
    for (const Case& test : cases) {
      for (const std::vector<int64_t>& axes :
           {std::vector<int64_t>{0}, std::vector<int64_t>{1}, std::vector<int64_t>{0, 2}}) {
        // Products and sums of up to 12 numbers below 2 stay within 8 bits.
        check(test, {dtype, {3, 5, 4}}, axes, Layout::row_major, random, 0, 1.4, tolerance);
      }
    }
  }
}

TEST(Reduce, BooleansAreAnyAndAll) {
  Type type{DType::boolean, {2, 3}};
  Tensor x = make_input(type, "x");
  Bytes memory = to_memory({0, 1, 0, 1, 1, 1}, type);
  auto run = [&](const Case& test) {
    Tensor y = make(*test.op, {x}, ReduceAttrs{{1}});
    return from_memory(run_step(y.node(), {memory}, test.make)[0], y.type());
  };
  EXPECT_EQ(run(cases[2]), (Values{1, 1}));
  EXPECT_EQ(run(cases[3]), (Values{0, 1}));
}

TEST(Reduce, GradientsOfBiases) {
  std::mt19937 random(3);
  for (DType dtype : {DType::f32, DType::bf16}) {
    double tolerance = dtype == DType::f32 ? 1e-5 : 5e-3;
    for (int64_t channels : {1, 3, 10, 17, 32, 100}) {
      Type images{dtype, {4, channels, 32, 32}, Layout::channels_last};
      check(cases[0], images, {0, 2, 3}, Layout::row_major, random, -1, 1, tolerance * 10);
      check(cases[0], {dtype, {1000, channels}}, {0}, Layout::row_major, random, -1, 1, tolerance);
    }
    check(cases[0], {dtype, {64, 3000}}, {0}, Layout::row_major, random, -1, 1, tolerance);
    check(cases[0], {dtype, {3, 70000}}, {0, 1}, Layout::row_major, random, 0, 1, tolerance);
  }
}

TEST(Reduce, NanIsAnExtremum) {
  for (size_t where : {0u, 5u, 99u, 130u}) {
    Type type{DType::f32, {2, 131}};
    Values values(262, 1.0);
    values[131 + where] = NAN;
    Tensor x = make_input(type, "x");
    for (const Case* test : {&cases[2], &cases[3]}) {
      for (int64_t axis : {0, 1}) {
        Tensor y = make(*test->op, {x}, ReduceAttrs{{axis}});
        Values got =
            from_memory(run_step(y.node(), {to_memory(values, type)}, test->make)[0], y.type());
        EXPECT_EQ(std::isnan(got[axis == 1 ? 1 : where]), true) << where;
        EXPECT_EQ(got[axis == 1 ? 0 : (where + 1) % 131], 1.0);
      }
    }
  }
}

TEST(Reduce, EmptyAxesGiveTheNeutralElement) {
  Tensor x = make_input({DType::f32, {3, 0, 2}}, "x");
  Bytes none(1);
  for (size_t c : {0u, 1u}) {
    Tensor y = make(*cases[c].op, {x}, ReduceAttrs{{1}});
    EXPECT_EQ(from_memory(run_step(y.node(), {none}, cases[c].make)[0], y.type()),
              Values(6, cases[c].first));
    Tensor z = make(*cases[c].op, {x}, ReduceAttrs{{0}});
    EXPECT_TRUE(from_memory(run_step(z.node(), {none}, cases[c].make)[0], z.type()).empty());
  }
}

TEST(Reduce, IntegersWrapAround) {
  Type type{DType::i64, {40}};
  Tensor x = make_input(type, "x");
  Bytes memory(type.bytes());
  for (size_t i = 0; i < 40; ++i) reinterpret_cast<int64_t*>(memory.data())[i] = int64_t{1} << 62;
  Tensor y = make(op::reduce_sum, {x}, ReduceAttrs{{0}});
  Bytes out = run_step(y.node(), {memory}, cpu::kernel_reduce_sum)[0];
  EXPECT_EQ(reinterpret_cast<const int64_t*>(out.data())[0], 0);
}

TEST(Reduce, ThreadsDoNotChangeTheBits) {
  std::mt19937 random(4);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (const Type& type : {Type{DType::f32, {100003}}, Type{DType::f32, {5000, 40}}}) {
    Values values(static_cast<size_t>(type.elements()));
    for (double& value : values) value = uniform(random);
    Bytes memory = to_memory(values, type);
    Tensor x = make_input(type, "x");
    Tensor y = make(op::reduce_sum, {x}, ReduceAttrs{{0}});
    std::vector<Bytes> results;
    for (int threads : {1, 2, 3, 7}) {
      ThreadCountScope scope(threads);
      results.push_back(run_step(y.node(), {memory}, cpu::kernel_reduce_sum)[0]);
    }
    for (const Bytes& result : results) EXPECT_EQ(result, results[0]);
  }
}

}  // namespace
}  // namespace wafer
