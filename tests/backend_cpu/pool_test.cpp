#include "wafer/op/pool.h"

#include <limits>

#include "tests/backend_cpu/compare.h"

namespace wafer {
namespace {
using testing::Bytes;
using testing::compare;
using testing::last;
using testing::pick;
using testing::rows;
using testing::variable;
using testing::with_layouts;

PoolGradientAttrs gradient_attrs(const PoolAttrs& a, const Shape& shape) {
  return {a.kernel, a.stride, a.padding_low, a.padding_high, a.dilation, a.count_padding, shape};
}

struct PoolCase {
  std::vector<int64_t> x;
  PoolAttrs attrs;
};
PoolCase random_pool_case(RandomStream& random) {
  size_t spatial = 1 + random.below(3);
  PoolCase c;
  c.x = {pick(random, {1, 7}), pick(random, {1, 3, 17, 32, 64})};
  bool two_by_two = random.below(3) == 0;
  for (size_t i = 0; i < spatial; ++i) {
    int64_t kernel = two_by_two ? 2 : pick(random, {1, 2, 3});
    int64_t dilation = two_by_two ? 1 : pick(random, {1, 1, 2});
    c.attrs.kernel.push_back(kernel);
    c.attrs.stride.push_back(two_by_two ? 2 : pick(random, {1, 2, 3}));
    c.attrs.dilation.push_back(dilation);
    c.attrs.padding_low.push_back(two_by_two ? 0 : pick(random, {0, 1}) * (kernel > 1));
    c.attrs.padding_high.push_back(two_by_two ? 0 : pick(random, {0, 1, 3}));
    c.x.push_back(dilation * (kernel - 1) + 1 + pick(random, {1, 2, 4, 5}));
  }
  c.attrs.count_padding = random.below(2);
  return c;
}

// Places point at themselves wherever the forward pass wrote them: any byte below the window's
// size.
Bytes random_places(const Type& type, int64_t window, RandomStream& random) {
  Bytes bytes(type.bytes());
  for (std::byte& b : bytes) {
    b = static_cast<std::byte>(random.below(static_cast<uint32_t>(window)));
  }
  return bytes;
}

TEST(CpuPool, MatchesTheReference) {
  RandomStream random(1);
  for (DType dtype : {DType::f32, DType::f32, DType::bf16, DType::f16, DType::f64}) {
    for (int trial = 0; trial < 8; ++trial) {
      PoolCase c = random_pool_case(random);
      int64_t window = 1;
      for (int64_t k : c.attrs.kernel) window *= k;
      for (Layout layout : {rows, last}) {
        Tensor x = variable(dtype, c.x);
        auto pooled = make_node(op::max_pool, {x}, c.attrs);
        Tensor y = with_layouts(pooled[0], {layout}, layout);
        compare(y, random);
        compare(y, random, 1, {}, {true, false});
        compare(y, random, 1, {}, {false, true});

        Tensor g = make_input(pooled[0].type(), "g"), places = make_input(pooled[1].type(), "i");
        Tensor dx = make(op::max_pool_gradient, {g, places}, gradient_attrs(c.attrs, x.shape()));
        compare(with_layouts(dx, {layout, layout}, layout), random, 2,
                {{}, random_places(places.type(), window, random)});

        compare(with_layouts(make(op::avg_pool, {x}, c.attrs), {layout}, layout), random, 2);
        Tensor spread = make(op::avg_pool_gradient, {g}, gradient_attrs(c.attrs, x.shape()));
        compare(with_layouts(spread, {layout}, layout), random, 4);
      }
    }
  }
}

TEST(CpuPool, IntegersAndLargeWindows) {
  RandomStream random(2);
  PoolAttrs attrs{{17, 17}, {5, 5}, {0, 0}, {0, 0}, {1, 1}, true};
  for (DType dtype : {DType::f32, DType::i32, DType::u8, DType::i64}) {
    for (Layout layout : {rows, last}) {
      Tensor x = variable(dtype, {2, 3, 24, 22});
      auto pooled = make_node(op::max_pool, {x}, attrs);
      EXPECT_EQ(pooled[1].dtype(), DType::i32);
      compare(with_layouts(pooled[0], {layout}, layout), random);
    }
  }
}

TEST(CpuPool, NotANumberWinsAndTheFirstOfEqualsWins) {
  RandomStream random(3);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  for (int64_t stride : {1, 2}) {
    PoolAttrs attrs{{2, 2}, {stride, stride}, {0, 0}, {0, 0}, {1, 1}, true};
    Tensor x = variable(DType::f32, {1, 33, 8, 8});
    std::vector<float> values(static_cast<size_t>(x.elements()));
    for (float& value : values) {
      uint32_t kind = random.below(6);
      value = kind == 0 ? nan : kind == 1 ? -inf : kind == 2 ? inf : 1.0f;
    }
    for (Layout layout : {rows, last}) {
      auto pooled = make_node(op::max_pool, {x}, attrs);
      compare(with_layouts(pooled[0], {layout}, layout), random, 1, {testing::bytes_of(values)});
    }
  }
}

// Two by two windows of bfloat16 are compared as whole numbers.
TEST(CpuPool, Bfloat16InTheSameOrder) {
  RandomStream random(5);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const float kinds[] = {nan, -nan, inf, -inf, 0.0f, -0.0f, 1.0f, -1.0f, -2.5f, 3.0f};
  PoolAttrs attrs{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, true};
  for (int64_t channels : {1, 3, 17, 32, 67}) {
    for (uint32_t count : {6u, 10u}) {
      Tensor x = variable(DType::bf16, {2, channels, 8, 9});
      std::vector<BFloat16> values(static_cast<size_t>(x.elements()));
      for (BFloat16& value : values)
        value = static_cast<BFloat16>(kinds[10 - count + random.below(count)]);
      auto pooled = make_node(op::max_pool, {x}, attrs);
      compare(with_layouts(pooled[0], {last}, last), random, 1, {testing::bytes_of(values)});
      Tensor g = make_input(pooled[0].type(), "g"), places = make_input(pooled[1].type(), "i");
      Tensor dx = make(op::max_pool_gradient, {g, places}, gradient_attrs(attrs, x.shape()));
      compare(with_layouts(dx, {last, last}, last), random, 1,
              {{}, random_places(places.type(), 4, random)});
    }
  }
}

TEST(CpuPool, EmptyBatch) {
  RandomStream random(4);
  PoolAttrs attrs{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, true};
  for (const auto& sizes : {std::vector<int64_t>{0, 3, 4, 4}, std::vector<int64_t>{2, 0, 4, 4}}) {
    for (Layout layout : {rows, last}) {
      Tensor x = variable(DType::f32, sizes);
      compare(with_layouts(make_node(op::max_pool, {x}, attrs)[0], {layout}, layout), random);
      compare(with_layouts(make(op::avg_pool, {x}, attrs), {layout}, layout), random);
    }
  }
}

}  // namespace
}  // namespace wafer
