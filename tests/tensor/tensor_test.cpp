#include "wafer/ir/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/text.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/eval.h"
#include "wafer/tensor/grad.h"
#include "wafer/tensor/jit.h"

namespace wafer {
namespace {

Tensor floats(const std::vector<float>& values, const Shape& shape) {
  return Tensor::from_values(values, shape);
}

// Expected texts are PyTorch's, but for the names of dtypes.
TEST(Print, AsPyTorch) {
  EXPECT_EQ(floats({1, 2, 3}, Shape{3}).text(), "tensor([1., 2., 3.])");
  EXPECT_EQ(floats({0.5f, -1.25f, 3}, Shape{3}).text(), "tensor([ 0.5000, -1.2500,  3.0000])");
  EXPECT_EQ(floats({1, 2, 3, 4}, Shape{2, 2}).text(), "tensor([[1., 2.],\n        [3., 4.]])");
  EXPECT_EQ(floats({1, 2, 3, 4}, Shape{2, 2, 1}).text(),
            "tensor([[[1.],\n         [2.]],\n\n        [[3.],\n         [4.]]])");
  EXPECT_EQ(floats({3.5f}, Shape{}).text(), "tensor(3.5000)");
  EXPECT_EQ(Tensor::from_values<int64_t>({1, -20}, Shape{2}).text(), "tensor([  1, -20])");
  EXPECT_EQ(Tensor::from_values<int32_t>({7}, Shape{1}).text(), "tensor([7], dtype=i32)");
  EXPECT_EQ(Tensor::from_values<double>({0.5}, Shape{1}).text(), "tensor([0.5000], dtype=f64)");
  EXPECT_EQ(Tensor::from_values<bool>({true, false}, Shape{2}).text(), "tensor([ True, False])");
  EXPECT_EQ(floats({NAN, INFINITY, 1}, Shape{3}).text(), "tensor([nan, inf, 1.])");
  EXPECT_EQ(floats({1e-5f, 1}, Shape{2}).text(), "tensor([1.0000e-05, 1.0000e+00])");
  EXPECT_EQ(floats({}, Shape{0}).text(), "tensor([])");
  EXPECT_EQ(floats({}, Shape{0, 3}).text(), "tensor([], size=(0, 3))");
  EXPECT_EQ(arange(2000).text(), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])");
  EXPECT_EQ(arange(30).text(),
            "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
            "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])");
}

TEST(Eval, LazyUntilRead) {
  Tensor a = floats({1, 2}, Shape{2});
  Tensor b = a * 3.0 + 1.0;
  EXPECT_EQ(b.storage(), nullptr);
  EXPECT_EQ(b.data<float>(), (std::vector<float>{4, 7}));
  EXPECT_NE(b.storage(), nullptr);
  EXPECT_DOUBLE_EQ(reduce_sum(b).item(), 11);
  EXPECT_THROW(b.item(), UserError);
  EXPECT_THROW(b.data<double>(), UserError);
}

TEST(Trace, ReadingAValueIsAnErrorThatSaysSo) {
  std::string error = tests::message_of([] {
    trace(
        [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
          if ((x[0] * 2.0).item() > 0) return {x[0]};
          return {-x[0]};
        },
        {Type{DType::f32, Shape{}}}, {"x"});
  });
  for (const char* part : {"traced input 'x'", "is read while", "where()"})
    EXPECT_TRUE(tests::contains(error, part));
}

TEST(Jit, TracesOncePerShapeAndReplays) {
  int traces = 0;
  Jit square([&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    ++traces;
    return {x[0] * x[0], reduce_sum(x[0])};
  });
  for (int i = 0; i < 4; ++i) {
    auto results = square({floats({1.0f * static_cast<float>(i), 2}, Shape{2})});
    ASSERT_EQ(results.size(), 2u);
    EXPECT_EQ(results[0].data<float>(), (std::vector<float>{static_cast<float>(i * i), 4}));
    EXPECT_DOUBLE_EQ(results[1].item(), i + 2);
  }
  EXPECT_EQ(traces, 1);
  square({floats({1, 2, 3}, Shape{3})});
  EXPECT_EQ(traces, 2);
  square({floats({1, 2}, Shape{2})});
  EXPECT_EQ(traces, 2);
}

TEST(Grad, OfGradients) {
  Tensor x = floats({2}, Shape{});
  Tensor y = x * x * x;
  Tensor first = grad(y, {x})[0];
  Tensor second = grad(first, {x})[0];
  EXPECT_DOUBLE_EQ(first.item(), 12);
  EXPECT_DOUBLE_EQ(second.item(), 12);
  Tensor unused = floats({1, 1}, Shape{2});
  EXPECT_EQ(grad(y, {unused})[0].data<float>(), (std::vector<float>{0, 0}));
}

TEST(Operators, RebindAndBroadcast) {
  Tensor a = floats({1, 2}, Shape{2}), kept = a;
  a += floats({10, 20}, Shape{2});
  EXPECT_EQ(a.data<float>(), (std::vector<float>{11, 22}));
  EXPECT_EQ(kept.data<float>(), (std::vector<float>{1, 2}));
  Tensor column = floats({1, 2}, Shape{2, 1});
  EXPECT_EQ((column + kept).data<float>(), (std::vector<float>{2, 3, 3, 4}));
}

// A scalar constant is converted as it is built; the op must give the same.
TEST(Cast, OfConstantsEqualsTheOp) {
  const double huge = std::numeric_limits<double>::max();
  for (double value : {0.0, -1.5, 3.99, 300.0, -300.0, 1e20, -1e20, 5e9, 65519.0, huge, -huge,
                       double{INFINITY}, -double{INFINITY}, double{NAN}}) {
    Tensor scalar = Tensor::from_values<double>({value}, Shape{});
    Tensor line = Tensor::from_values<double>({value, value}, Shape{2});
    for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
      auto dtype = static_cast<DType>(i);
      Tensor at_once = cast(scalar, dtype), by_op = cast(line, dtype);
      evaluate({by_op}, device("reference"));
      size_t bytes = byte_size(dtype, 1);
      EXPECT_EQ(std::memcmp(at_once.storage()->data(), by_op.storage()->data(), bytes), 0)
          << value << " to " << dtype;
    }
  }
  EXPECT_EQ(cast(Tensor(1e20), DType::i32).item<int>(), std::numeric_limits<int32_t>::max());
  EXPECT_EQ(cast(Tensor(-7.9), DType::u8).item<int>(), 0);
}

}  // namespace
}  // namespace wafer
