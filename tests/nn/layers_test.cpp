// Every layer against PyTorch's outputs, gradients and buffers (make_expected.py).
#include <gtest/gtest.h>

#include <cmath>

#include "tests/nn/helpers.h"
#include "tests/nn/npz.h"
#include "wafer/nn/nn.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/grad.h"

using namespace wafer;

namespace {
using Tensors = std::map<std::string, Tensor>;
using Call = std::function<Tensor(const Tensor&)>;

// A layer and how the case calls it.
struct Layer {
  std::shared_ptr<nn::Module> module;
  Call call;
};

template <class L, class... Args>
Layer unary(Args&&... args) {
  auto layer = std::make_shared<L>(std::forward<Args>(args)...);
  return {layer, [layer](const Tensor& x) { return layer->forward(x); }};
}

enum class Part { outputs, states };
template <class L>
Layer recurrent(Part part, const nn::RecurrentLayerOptions& options) {
  auto layer = std::make_shared<L>(4, 3, options);
  return {layer, [=](const Tensor& x) {
            nn::RecurrentOutput result = (*layer)(x);
            if (part == Part::outputs) return result.outputs;
            return result.cell ? concat({result.hidden, result.cell}, 2) : result.hidden;
          }};
}

Layer attention(int64_t heads, const nn::MultiheadAttentionOptions& options,
                const nn::AttentionMask& mask = {}) {
  auto layer = std::make_shared<nn::MultiheadAttention>(6, heads, options);
  return {layer, [=](const Tensor& x) { return (*layer)(x, x, x, mask); }};
}

Layer attention_other() {
  auto layer = std::make_shared<nn::MultiheadAttention>(
      6, 3, nn::MultiheadAttentionOptions{.batch_first = true});
  return {layer, [=](const Tensor& x) { return (*layer)(narrow(x, 1, 0, 2), x, x * 2); }};
}

nn::AttentionMask padding() {
  return {.key_padding = Tensor::from_values<bool>(
              {false, false, false, true, false, true, false, true}, Shape{2, 4})};
}

const std::map<std::string, std::function<Layer()>> cases{
    {"linear", [] { return unary<nn::Linear>(5, 3); }},
    {"linear_no_bias", [] { return unary<nn::Linear>(5, 3, nn::LinearOptions{.bias = false}); }},
    {"conv1d",
     [] {
       return unary<nn::Conv1d>(
           nn::ConvLayerOptions{.in = 3, .out = 4, .kernel = 3, .stride = 2, .padding = 1});
     }},
    {"conv2d",
     [] {
       return unary<nn::Conv2d>(nn::ConvLayerOptions{.in = 3, .out = 4, .kernel = 3, .padding = 1});
     }},
    {"conv2d_groups",
     [] {
       return unary<nn::Conv2d>(nn::ConvLayerOptions{.in = 4,
                                                     .out = 6,
                                                     .kernel = {3, 2},
                                                     .stride = {2, 1},
                                                     .padding = {1, 0},
                                                     .dilation = {1, 2},
                                                     .groups = 2});
     }},
    {"conv2d_same",
     [] {
       return unary<nn::Conv2d>(
           nn::ConvLayerOptions{.in = 2, .out = 3, .kernel = 4, .same_padding = true});
     }},
    {"conv3d",
     [] { return unary<nn::Conv3d>(nn::ConvLayerOptions{.in = 2, .out = 3, .kernel = 2}); }},
    {"conv_transpose1d",
     [] {
       return unary<nn::ConvTranspose1d>(nn::ConvTransposeLayerOptions{
           .in = 3, .out = 2, .kernel = 3, .stride = 2, .padding = 1, .output_padding = 1});
     }},
    {"conv_transpose2d",
     [] {
       return unary<nn::ConvTranspose2d>(nn::ConvTransposeLayerOptions{
           .in = 4, .out = 6, .kernel = 3, .stride = 2, .padding = 1, .groups = 2});
     }},
    {"max_pool2d",
     [] {
       return unary<nn::MaxPool2d>(nn::PoolLayerOptions{.kernel = 3, .stride = 2, .padding = 1});
     }},
    {"max_pool2d_ceil",
     [] { return unary<nn::MaxPool2d>(nn::PoolLayerOptions{.kernel = 2, .ceil_mode = true}); }},
    {"avg_pool1d",
     [] {
       return unary<nn::AvgPool1d>(nn::PoolLayerOptions{.kernel = 3, .stride = 2, .padding = 1});
     }},
    {"avg_pool2d",
     [] {
       return unary<nn::AvgPool2d>(
           nn::PoolLayerOptions{.kernel = 2, .padding = 1, .count_padding = false});
     }},
    {"adaptive_avg_pool2d",
     [] {
       return unary<nn::AdaptiveAvgPool2d>(nn::Sizes{3, 2});
     }},
    {"adaptive_max_pool1d", [] { return unary<nn::AdaptiveMaxPool1d>(4); }},
    {"batch_norm1d", [] { return unary<nn::BatchNorm1d>(4); }},
    {"batch_norm2d",
     [] { return unary<nn::BatchNorm2d>(3, nn::BatchNormOptions{.eps = 1e-3, .momentum = 0.3}); }},
    {"batch_norm2d_average",
     [] {
       return unary<nn::BatchNorm2d>(
           3, nn::BatchNormOptions{.momentum = std::nullopt, .affine = false});
     }},
    {"layer_norm",
     [] {
       return unary<nn::LayerNorm>(nn::Sizes{4, 5});
     }},
    {"group_norm", [] { return unary<nn::GroupNorm>(2, 6); }},
    {"rms_norm", [] { return unary<nn::RMSNorm>(5, nn::RMSNormOptions{.eps = 1e-6}); }},
    {"embedding",
     [] { return unary<nn::Embedding>(7, 3, nn::EmbeddingOptions{.padding_index = 2}); }},
    {"gelu", [] { return unary<nn::GELU>(); }},
    {"gelu_tanh", [] { return unary<nn::GELU>(true); }},
    {"silu", [] { return unary<nn::SiLU>(); }},
    {"elu", [] { return unary<nn::ELU>(0.7); }},
    {"leaky_relu", [] { return unary<nn::LeakyReLU>(0.2); }},
    {"softplus", [] { return unary<nn::Softplus>(); }},
    {"hard_swish", [] { return unary<nn::HardSwish>(); }},
    {"log_softmax", [] { return unary<nn::LogSoftmax>(1); }},
    {"rnn", [] { return recurrent<nn::RNN>(Part::outputs, {}); }},
    {"rnn_relu",
     [] { return recurrent<nn::RNN>(Part::outputs, {.bias = false, .nonlinearity = "relu"}); }},
    {"lstm", [] { return recurrent<nn::LSTM>(Part::outputs, {.layers = 2, .batch_first = true}); }},
    {"lstm_bidirectional",
     [] { return recurrent<nn::LSTM>(Part::outputs, {.layers = 2, .bidirectional = true}); }},
    {"lstm_states",
     [] { return recurrent<nn::LSTM>(Part::states, {.layers = 2, .bidirectional = true}); }},
    {"gru",
     [] {
       return recurrent<nn::GRU>(Part::outputs, {.batch_first = true, .bidirectional = true});
     }},
    {"gru_states", [] { return recurrent<nn::GRU>(Part::states, {.layers = 2}); }},
    {"gru_unbatched", [] { return recurrent<nn::GRU>(Part::outputs, {}); }},
    {"attention", [] { return attention(2, {.batch_first = true}); }},
    {"attention_other", attention_other},
    {"attention_causal", [] { return attention(2, {}, {.causal = true}); }},
    {"attention_padded",
     [] { return attention(2, {.bias = false, .batch_first = true}, padding()); }},
    {"encoder_layer",
     [] {
       return unary<nn::TransformerEncoderLayer>(
           6, 2, nn::TransformerEncoderLayerOptions{.feedforward = 8, .dropout = 0});
     }},
    {"encoder_layer_norm_first",
     [] {
       return unary<nn::TransformerEncoderLayer>(
           6, 2,
           nn::TransformerEncoderLayerOptions{.feedforward = 8,
                                              .dropout = 0,
                                              .activation = "gelu",
                                              .norm_first = true,
                                              .batch_first = true});
     }},
    {"encoder",
     [] {
       return unary<nn::TransformerEncoder>(
           2, 6, 2,
           nn::TransformerEncoderLayerOptions{.feedforward = 8, .dropout = 0, .batch_first = true},
           true);
     }},
};

const Tensors& expected() {
  static const Tensors all = testing_nn::load_npz("nn/data/layers.npz");
  return all;
}

// The arrays of one case below a folder, by the rest of their name.
Tensors below(const std::string& prefix) {
  Tensors found;
  for (const auto& [name, value] : expected()) {
    if (name.starts_with(prefix)) found.emplace(name.substr(prefix.size()), value);
  }
  return found;
}

void expect_near(const Tensor& got, const Tensor& want, const std::string& what) {
  ASSERT_EQ(got.shape(), want.shape()) << what;
  auto a = cast(got, DType::f64).data<double>(), b = cast(want, DType::f64).data<double>();
  double largest = 1;
  for (double value : b) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_NEAR(a[i], b[i], 2e-5 * largest) << what << ", element " << i;
  }
}

class LayerTest : public testing::TestWithParam<std::string> {};
}  // namespace

TEST_P(LayerTest, EqualsPyTorch) {
  set_default_device(device("reference"));
  const std::string prefix = GetParam() + "/";
  Layer layer = cases.at(GetParam())();
  layer.module->load_state_dict(below(prefix + "state/"));
  const Tensor& x = expected().at(prefix + "x");

  auto slots = layer.module->named_parameters();
  std::vector<Tensor> wrt = layer.module->parameters();
  Tensors gradients = below(prefix + "gradient/");
  EXPECT_EQ(gradients.size(), wrt.size() + (is_floating(x.dtype()) ? 1 : 0));
  if (is_floating(x.dtype())) wrt.push_back(x);

  Tensor y = layer.call(x);
  expect_near(y, expected().at(prefix + "y"), "output");
  std::vector<Tensor> got = grad(sum(y * y), wrt);
  for (size_t i = 0; i < wrt.size(); ++i) {
    std::string name = i < slots.size() ? slots[i].name : "x";
    expect_near(got[i], gradients.at(name), "gradient of " + name);
  }
  Tensors after = below(prefix + "after/");
  EXPECT_EQ(after.size(), layer.module->buffers().size());
  for (const auto& slot : layer.module->named_buffers()) {
    expect_near(*slot.value, after.at(slot.name), slot.name);
  }
  layer.module->eval();
  expect_near(layer.call(x), expected().at(prefix + "eval"), "output in evaluation");
}

INSTANTIATE_TEST_SUITE_P(All, LayerTest, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const auto& [name, make] : cases) names.push_back(name);
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

TEST(Layers, EveryExpectedCaseIsTested) {
  for (const auto& [name, value] : expected()) {
    EXPECT_TRUE(cases.contains(name.substr(0, name.find('/')))) << name;
  }
}
