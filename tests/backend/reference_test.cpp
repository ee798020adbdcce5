// What the reference device promises beside its kernels' values, which tests/op checks.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "wafer/backend/reference/reference.h"
#include "wafer/base/philox.h"
#include "wafer/op/conv.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/op/pool.h"
#include "wafer/op/random.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/eval.h"
#include "wafer/tensor/jit.h"

namespace wafer {

namespace {

class Reference : public testing::Test {
 protected:
  void SetUp() override { set_default_device(device("reference")); }

  // What evaluating the tensor throws, as text; empty when it throws nothing.
  static std::string error_of(const Tensor& tensor) {
    try {
      tensor.eval();
      return "";
    } catch (const UserError& error) {
      return error.what();
    }
  }
};

TEST_F(Reference, AnAbsentBackendSaysWhyItIsAbsent) {
  for (const Backend& backend : backends()) {
    EXPECT_NE(backend.devices.empty(), backend.absent_reason.empty()) << backend.name;
  }
  try {
    device("cuda:7");
    FAIL() << "there is no eighth GPU here";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("cuda"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("absent"), std::string::npos) << error.what();
  }
}

TEST_F(Reference, IsAlwaysThere) {
  auto found = device("reference");
  EXPECT_EQ(found->info().name, "reference");
  EXPECT_EQ(found->target().name(), "reference");
}

TEST_F(Reference, HasAKernelForEveryPrimitive) {
  for (const OpDef* op : all_ops()) {
    bool leaf = op == &op::input || op == &op::constant;
    if (leaf || !op->is_primitive()) continue;
    std::string name = op->name;
    // These hold graphs, which the host program runs.
    if (name == "scan" || name == "while_loop" || name == "if_else") continue;
    EXPECT_NE(reference::find_kernel(*op), nullptr) << name;
  }
}

TEST_F(Reference, NamesAnIndexOutOfRange) {
  Tensor x = Tensor::from_values<float>({1, 2, 3}, Shape{3});
  Tensor beyond = Tensor::from_values<int64_t>({0, 3}, Shape{2});
  Tensor before = Tensor::from_values<int32_t>({-4}, Shape{1});
  EXPECT_NE(error_of(gather(x, beyond)).find("index 3 is out of range for a dimension of size 3"),
            std::string::npos);
  EXPECT_NE(error_of(gather(x, before)).find("[gather] index -4"), std::string::npos);
  EXPECT_NE(error_of(scatter_add(x, before, Tensor::from_values<float>({1}, Shape{1})))
                .find("[scatter_add] index -4"),
            std::string::npos);
  EXPECT_NE(error_of(gather_elements(x, beyond, 0)).find("[gather_elements] index 3"),
            std::string::npos);
  EXPECT_NE(error_of(scatter_elements(x, beyond, Tensor::from_values<float>({1, 2}, Shape{2}), 0))
                .find("[scatter_elements] index 3"),
            std::string::npos);
}

TEST_F(Reference, DividesIntegersByZeroWithoutACrash) {
  Tensor a = Tensor::from_values<int32_t>({7, -7, std::numeric_limits<int32_t>::min()}, Shape{3});
  Tensor zero = Tensor::from_values<int32_t>({0, 0, 0}, Shape{3});
  EXPECT_EQ(floor_divide(a, zero).data<int32_t>(), (std::vector<int32_t>{0, 0, 0}));
  EXPECT_EQ(remainder(a, zero).data<int32_t>(), (std::vector<int32_t>{0, 0, 0}));
  Tensor minus_one = Tensor::from_values<int32_t>({-1, -1, -1}, Shape{3});
  EXPECT_EQ(floor_divide(a, minus_one).data<int32_t>(),
            (std::vector<int32_t>{-7, 7, std::numeric_limits<int32_t>::min()}));
  EXPECT_EQ(remainder(a, minus_one).data<int32_t>(), (std::vector<int32_t>{0, 0, 0}));
}

TEST_F(Reference, ConvertsFloatsToIntegersWithSaturation) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Tensor x = Tensor::from_values<double>(
      {1e30, -1e30, infinity, -infinity, std::nan(""), -1.9, 1.9, 300}, Shape{8});
  EXPECT_EQ(cast(x, DType::i8).data<int8_t>(),
            (std::vector<int8_t>{127, -128, 127, -128, 0, -1, 1, 127}));
  EXPECT_EQ(cast(x, DType::u8).data<uint8_t>(),
            (std::vector<uint8_t>{255, 0, 255, 0, 0, 0, 1, 255}));
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(cast(x, DType::i64).data<int64_t>(),
            (std::vector<int64_t>{most, -most - 1, most, -most - 1, 0, -1, 1, 300}));
  EXPECT_EQ(cast(x, DType::boolean).data<bool>(),
            (std::vector<bool>{true, true, true, true, true, true, true, true}));
}

// A 64-bit integer becomes a float by one rounding: through double it would be two.
TEST_F(Reference, RoundsOnceFromIntegersToFloats) {
  int64_t above_half = (int64_t{1} << 60) + (int64_t{1} << 36) + 1;
  Tensor x = Tensor::from_values<int64_t>({above_half, -above_half}, Shape{2});
  float expected = std::ldexp(1.0f, 60) + std::ldexp(1.0f, 37);
  EXPECT_EQ(cast(x, DType::f32).data<float>(), (std::vector<float>{expected, -expected}));
  int64_t near_tie = (int64_t{1} << 60) + (int64_t{1} << 52) + 1;  // bf16 keeps 8 bits
  auto rounded =
      cast(Tensor::from_values<int64_t>({near_tie}, Shape{1}), DType::bf16).data<BFloat16>();
  EXPECT_EQ(static_cast<float>(rounded[0]), std::ldexp(1.0f, 60) + std::ldexp(1.0f, 53));
}

// Sums of f32 are taken in double: the small terms are not lost beside the large one.
TEST_F(Reference, SumsInDouble) {
  std::vector<float> values(1001, 1.0f);
  values[0] = 1e8f;
  EXPECT_EQ(reduce_sum(Tensor::from_values(values, Shape{1001})).item<float>(), 100001000.0f);
}

// Values that lie channels-last give what row-major ones give.
TEST_F(Reference, ReadsAndWritesEveryLayout) {
  Tensor x = random_normal(Shape{2, 3, 4, 5}), weight = random_normal(Shape{4, 3, 3, 3});
  auto last = [](const Tensor& t) { return reorder(t, Layout::channels_last); };
  auto first = [](const Tensor& t) { return reorder(t, Layout::row_major); };
  // A node whose output lies channels-last, as pass/layout makes them.
  auto placed = [](const Tensor& t) {
    Type type = t.type();
    type.layout = Layout::channels_last;
    return clone_node(t.node(), t.node().inputs, {type})[0];
  };
  evaluate({x, weight}, device("reference"));
  Tensor plain = conv(x, weight, {}, {.padding = {1}});
  Tensor mixed = first(placed(conv(last(x), last(weight), {}, {.padding = {1}})));
  EXPECT_EQ(mixed.data<float>(), plain.data<float>());
  EXPECT_EQ(first(placed(last(x) + last(x))).data<float>(), (x + x).data<float>());
  EXPECT_EQ(reduce_sum(last(x), {1}).data<float>(), reduce_sum(x, {1}).data<float>());
  EXPECT_EQ(reshape(last(x), Shape{6, 20}).data<float>(), x.data<float>());
  EXPECT_EQ(flip(last(x), {1, 3}).data<float>(), flip(x, {1, 3}).data<float>());
}

// The gradient goes to the first of equal elements, and padding never wins.
TEST_F(Reference, MaxPoolGivesTheWinnersPlace) {
  Tensor x = Tensor::from_values<float>({-1, -1, -1, -1}, Shape{1, 1, 2, 2});
  auto outputs =
      make_node(op::max_pool, {x}, PoolAttrs{{2, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, true});
  EXPECT_EQ(outputs[0].data<float>(), std::vector<float>(9, -1));
  // Row-major places within the windows of 2x2; the first window holds only its last element.
  EXPECT_EQ(outputs[1].data<uint8_t>(), (std::vector<uint8_t>{3, 2, 2, 1, 0, 0, 1, 0, 0}));
}

// Known answers of the authors' library (Random123).
TEST_F(Reference, PhiloxGivesKnownAnswers) {
  EXPECT_EQ(Philox::generate({0, 0, 0, 0}, {0, 0}),
            (Philox::Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      Philox::generate({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (Philox::Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST_F(Reference, RandomNumbersFollowTheirDistributions) {
  constexpr int64_t count = 200000;
  Tensor key = Tensor::from_values<uint64_t>({3, 14}, Shape{2});
  RandomScope scope(key);
  auto mean_of = [](const Tensor& x) { return reduce_sum(cast(x, DType::f64)).item() / count; };
  Tensor uniform = random_uniform(Shape{count}), normal = random_normal(Shape{count});
  // Five standard errors.
  EXPECT_NEAR(mean_of(uniform), 0.5, 5 * std::sqrt(1.0 / 12 / count));
  EXPECT_NEAR(mean_of(square(uniform)), 1.0 / 3, 5 * std::sqrt(4.0 / 45 / count));
  EXPECT_NEAR(mean_of(normal), 0, 5 * std::sqrt(1.0 / count));
  EXPECT_NEAR(mean_of(square(normal)), 1, 5 * std::sqrt(2.0 / count));
  EXPECT_NEAR(mean_of(less(normal, -1.0)), 0.158655, 5 * std::sqrt(0.16 * 0.84 / count));
}

TEST_F(Reference, SaysWhyItCannotComputeInADtype) {
  Tensor x = make_input({DType::f8e4m3, Shape{2}}, "x");
  Tensor y = make(op::flip, {x}, AxesAttrs{{0}});
  Support support = device("reference")->target().supports(y.node());
  EXPECT_FALSE(support);
  EXPECT_EQ(support.reason, "no op computes in f8e4m3");
}

// A group is evaluated node by node, with every value rounded to its dtype.
TEST_F(Reference, EvaluatesFusedGroups) {
  auto group = std::make_shared<Graph>();
  Type type{DType::f16, Shape{3}};
  group->inputs = {make_input(type, "a"), make_input({DType::f16, Shape{}}, "b")};
  Tensor sum = group->inputs[0] + group->inputs[1];
  group->outputs = {sum * sum, sum};
  Tensor a = cast(Tensor::from_values<float>({1, 2, 2048}, Shape{3}), DType::f16);
  Tensor b = cast(Tensor(1.0), DType::f16);
  std::vector<Tensor> outputs = fuse(group, {a, b});
  evaluate(outputs, device("reference"));
  EXPECT_EQ(cast(outputs[1], DType::f32).data<float>(), (std::vector<float>{2, 3, 2048}));
  EXPECT_EQ(cast(outputs[0], DType::f32).data<float>(),
            (std::vector<float>{4, 9, std::numeric_limits<float>::infinity()}));
}

TEST_F(Reference, GivesTheSameBitsTwice) {
  Jit step([](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {reduce_sum(exp(in[0]), {1}), sort(in[0], 0).values};
  });
  Tensor x = random_normal(Shape{17, 9});
  auto first = step({x}), second = step({x});
  for (size_t i = 0; i < first.size(); ++i)
    EXPECT_EQ(first[i].data<float>(), second[i].data<float>());
}

}  // namespace

}  // namespace wafer
