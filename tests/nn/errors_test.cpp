// One test per message that layers give for wrong options or inputs.
#include <gtest/gtest.h>

#include "tests/nn/helpers.h"
#include "wafer/nn/nn.h"

using namespace wafer;
using wafer::testing_nn::contains;
using wafer::testing_nn::message;

namespace {
Tensor input(const Shape& shape, DType dtype = DType::f32) {
  return make_input({dtype, shape}, "x");
}

template <class L, class... Args>
std::string made(Args&&... args) {
  return message([&] { L layer(std::forward<Args>(args)...); });
}

std::string called(nn::UnaryModule& layer, const Tensor& x) {
  return message([&] { layer.forward(x); });
}
}  // namespace

TEST(LayerErrors, Options) {
  EXPECT_TRUE(contains(made<nn::Linear>(0, 3), "must be positive"));
  EXPECT_TRUE(contains(made<nn::Conv2d>(nn::ConvLayerOptions{.in = 3, .out = 8}),
                       "kernel's size is not given"));
  EXPECT_TRUE(contains(made<nn::Conv2d>(nn::ConvLayerOptions{.out = 8, .kernel = 3}), "in = 0"));
  EXPECT_TRUE(
      contains(made<nn::Conv2d>(nn::ConvLayerOptions{.in = 3, .out = 8, .kernel = 3, .groups = 2}),
               "2 groups do not divide 3 input and 8 output channels"));
  EXPECT_TRUE(contains(made<nn::Conv2d>(nn::ConvLayerOptions{.in = 3, .out = 8, .kernel = -1}),
                       "at least 1"));
  EXPECT_TRUE(
      contains(made<nn::Conv2d>(nn::ConvLayerOptions{.in = 3, .out = 8, .kernel = {3, 3, 3}}),
               "kernel has 3 numbers; expected one or 2"));
  EXPECT_TRUE(contains(made<nn::Dropout>(1.5), "expected one in [0, 1]"));
  EXPECT_TRUE(contains(made<nn::Embedding>(3, 4, nn::EmbeddingOptions{.padding_index = 3}),
                       "padding index 3"));
  EXPECT_TRUE(contains(made<nn::GroupNorm>(4, 6), "4 groups do not divide 6 channels"));
  EXPECT_TRUE(contains(made<nn::GRU>(0, 3), "must be positive"));
  EXPECT_TRUE(contains(made<nn::MultiheadAttention>(6, 4), "4 heads do not divide width 6"));
  EXPECT_TRUE(contains(made<nn::TransformerEncoderLayer>(
                           4, 2, nn::TransformerEncoderLayerOptions{.activation = "tanh"}),
                       "expected relu or gelu"));
}

TEST(LayerErrors, Inputs) {
  nn::Linear linear{4, 2};
  EXPECT_TRUE(contains(called(linear, input({3, 5})), "write Linear{5, 2}"));
  nn::Conv2d conv{{.in = 3, .out = 8, .kernel = 3}};
  EXPECT_TRUE(contains(called(conv, input({3, 32, 32})), "expected [batch, 3, height, width]"));
  nn::MaxPool2d pool{2};
  EXPECT_TRUE(contains(called(pool, input({3, 32, 32})), "2 spatial dimensions"));
  nn::MaxPool2d padded{{.kernel = 2, .padding = 2}};
  EXPECT_TRUE(contains(called(padded, input({1, 3, 8, 8})), "more than half of the kernel"));
  nn::AdaptiveAvgPool2d adaptive{{1, 1}};
  EXPECT_TRUE(contains(called(adaptive, input({1, 3, 8})), "adaptive_avg_pool2d"));
  nn::BatchNorm2d norm{4};
  EXPECT_TRUE(contains(called(norm, input({2, 3, 5, 5})), "make the layer for 3 channels"));
  EXPECT_TRUE(contains(called(norm, input({2, 4})), "spatial dimensions"));
  nn::LayerNorm layer_norm{6};
  EXPECT_TRUE(contains(called(layer_norm, input({2, 5})), "last dimensions of 6"));
  nn::Embedding embedding{5, 3};
  EXPECT_TRUE(contains(called(embedding, input({2, 4})), "expected i64 or i32"));
  nn::LSTM lstm{4, 3, {.batch_first = true}};
  EXPECT_TRUE(contains(called(lstm, input({2, 7, 5})), "expected [batch, time, 4]"));
  nn::LastStep last;
  EXPECT_TRUE(contains(called(last, input({2, 7})), "[batch, time, features]"));
  nn::PositionalEmbedding positions{8, 4};
  EXPECT_TRUE(contains(called(positions, input({2, 9, 4})), "at most 8 steps"));
  nn::TransformerEncoderLayer encoder{4, 2, {.batch_first = true}};
  EXPECT_TRUE(contains(called(encoder, input({2, 9, 5})), "expected [batch, time, 4]"));
}

TEST(LayerErrors, LossesAndNames) {
  EXPECT_TRUE(
      contains(message([] { nn::loss_by_name("cross_entrpy"); }), "did you mean 'cross_entropy'?"));
  EXPECT_EQ(nn::loss_by_name("mse").name, "mse");
  EXPECT_TRUE(contains(message([] {
                         nn::sequence_cross_entropy(input({2, 3}), input({2}, DType::i64));
                       }),
                       "[batch, length, classes]"));
  struct Dotted : nn::Module {
    nn::ReLU relu;
    Dotted() { add("a.b", relu); }
  };
  EXPECT_TRUE(contains(message([] { Dotted dotted; }), "without dots"));
  struct Again : nn::Module {
    nn::ReLU relu;
    Again() {
      add("a", relu);
      add("b", relu);
    }
  };
  EXPECT_TRUE(contains(message([] { Again again; }), "added as 'a' before"));
}

TEST(Describe, SaysWhatALayerIs) {
  nn::Conv2d conv{{.in = 4, .out = 8, .kernel = {3, 1}, .stride = 2, .groups = 2, .bias = false}};
  EXPECT_EQ(conv.describe(), "Conv2d{in=4, out=8, kernel=3x1, stride=2, groups=2, bias=false}");
  nn::LSTM lstm{4, 3, {.layers = 2, .bidirectional = true}};
  EXPECT_EQ(lstm.describe(), "LSTM{4, 3, layers=2, bidirectional=true}");
  nn::AvgPool1d pool{{.kernel = 3, .padding = 1, .ceil_mode = true}};
  EXPECT_EQ(pool.describe(), "AvgPool1d{kernel=3, padding=1, ceil_mode=true}");
  nn::AdaptiveMaxPool2d adaptive{{3, 2}};
  EXPECT_EQ(adaptive.describe(), "AdaptiveMaxPool2d{3x2}");
  nn::Linear linear{2, 3, {.bias = false}};
  EXPECT_EQ(linear.describe(), "Linear{2, 3, {.bias = false}}");
  nn::ReLU relu;
  EXPECT_EQ(relu.describe(), "ReLU");
  nn::Flatten flatten{2};
  EXPECT_EQ(flatten.describe(), "Flatten{2, -1}");
}
