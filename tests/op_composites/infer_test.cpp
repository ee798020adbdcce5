// Shapes, symbolic dimensions and error texts of composite ops.
#include "tests/op_composites/expected.h"
#include "wafer/op/attention.h"
#include "wafer/op/create.h"
#include "wafer/op/loss.h"
#include "wafer/op/norm.h"
#include "wafer/op/recurrent.h"
#include "wafer/op/softmax.h"
#include "wafer/pass/specialise.h"

namespace wafer {
namespace {
using namespace testing;
using Tensors = std::vector<Tensor>;

const Dim batch = Dim::symbol("batch");

// Outputs and the gradient of their sum have the input's symbolic shape, and the graph specialised
// to a batch of 3 gives the numbers of a graph traced with it.
void expect_symbolic(const std::vector<Dim>& dims,
                     const std::function<Tensor(const Tensor&)>& function,
                     const std::string& expected_shape) {
  Tensor x = symbolic(dims, DType::f64), y = function(x);
  EXPECT_EQ(y.shape().text(), expected_shape);
  Tensor by_x = grad(reduce_sum(y * y), {x})[0];
  EXPECT_EQ(by_x.shape().text(), x.shape().text());
  Graph bound = specialise(Graph{{x}, {y, by_x}, {}}, {{"batch", 3}});
  Tensor at = numbers(Shape(dims).bind({{"batch", 3}})), value = function(at);
  Tensors found = inline_graph(bound, {at});
  expect_close(found[0], value, 1e-14, "value");
  expect_close(found[1], grad(reduce_sum(value * value), {at})[0], 1e-13, "gradient");
}

TEST(CompositeShapes, SymbolicBatch) {
  Tensor weight = numbers({4}), bias = numbers({4}, 0.8);
  expect_symbolic(
      {batch, 4}, [](const Tensor& x) { return softmax(x); }, "batchx4");
  expect_symbolic(
      {4, batch}, [](const Tensor& x) { return log_softmax(x, 0); }, "4xbatch");
  auto labels = [](const Tensor& x) { return cast(argmax(x, 1), DType::i64); };
  for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    std::string shape = reduction == Reduction::none ? "batch" : "scalar";
    expect_symbolic(
        {batch, 4},
        [&](const Tensor& x) {
          return cross_entropy(x, labels(x), {.label_smoothing = 0.1, .reduction = reduction});
        },
        shape);
    expect_symbolic(
        {batch, 4},
        [&](const Tensor& x) {
          return cross_entropy(x, softmax(x * 0.5), {.reduction = reduction});
        },
        shape);
    expect_symbolic(
        {batch, 4},
        [&](const Tensor& x) {
          return nll_loss(log_softmax(x, 1), labels(x), {.reduction = reduction});
        },
        shape);
  }
  expect_symbolic(
      {batch, 4}, [](const Tensor& x) { return mse_loss(x, exp(x)); }, "scalar");
  expect_symbolic(
      {batch, 4}, [](const Tensor& x) { return bce_with_logits(x, x * x); }, "scalar");
  expect_symbolic(
      {batch, 4}, [](const Tensor& x) { return kl_div(x, exp(x), Reduction::batch_mean); },
      "scalar");
  expect_symbolic(
      {batch, 4, 5}, [&](const Tensor& x) { return batch_norm(x, weight, bias).y; }, "batchx4x5");
  expect_symbolic(
      {batch, 4, 5}, [&](const Tensor& x) { return group_norm(x, 2, weight, bias); }, "batchx4x5");
  expect_symbolic(
      {batch, 4, 5}, [&](const Tensor& x) { return instance_norm(x, weight, bias); }, "batchx4x5");
  expect_symbolic(
      {batch, 4}, [&](const Tensor& x) { return layer_norm(x, {4}, weight, bias); }, "batchx4");
  expect_symbolic(
      {batch, 4}, [&](const Tensor& x) { return rms_norm(x, {4}, weight); }, "batchx4");
  expect_symbolic(
      {batch, 5, 4},
      [](const Tensor& x) { return scaled_dot_product_attention(x, x * 0.5, x, {.causal = true}); },
      "batchx5x4");
  // Three gates of three units each; the lstm has four.
  RecurrentWeights gates{numbers({9, 4}), numbers({9, 3}), numbers({9}), numbers({9}, 0.9)};
  expect_symbolic(
      {2, batch, 4}, [&](const Tensor& x) { return gru(x, gates).outputs; }, "2xbatchx3");
  // A symbolic number of steps goes another way.
  expect_symbolic(
      {batch, 2, 4},
      [&](const Tensor& x) {
        return lstm(x, {numbers({12, 4}), numbers({12, 3}), {}, {}}).outputs;
      },
      "batchx2x3");
}

TEST(CompositeShapes, EmptyTensors) {
  EXPECT_EQ(softmax(zeros({0, 3})).data<float>().size(), 0u);
  EXPECT_EQ(softmax(zeros({3, 0})).data<float>().size(), 0u);
  EXPECT_EQ(log_softmax(zeros({3, 0})).data<float>().size(), 0u);
  Tensor none = zeros({0}, DType::i64);
  EXPECT_TRUE(std::isnan(cross_entropy(zeros({0, 3}), none).item()));
  EXPECT_EQ(cross_entropy(zeros({0, 3}), none, {.reduction = Reduction::sum}).item(), 0);
  EXPECT_EQ(layer_norm(zeros({0, 3}), {3}).shape(), (Shape{0, 3}));
  EXPECT_EQ(batch_norm(zeros({0, 3})).y.data<float>().size(), 0u);
  Tensor q = zeros({2, 4, 5}), k = zeros({2, 0, 5});
  expect_close(scaled_dot_product_attention(q, k, k), q, 0, "attention to nothing");
}

TEST(CompositeErrors, Softmax) {
  EXPECT_EQ(message_of([] {
              softmax(zeros({2, 3}), 2);
            }),
            "[softmax] axis 2 is out of range; expected an axis in [-2, 2) for a tensor of 2 "
            "dimensions");
}

TEST(CompositeErrors, CrossEntropy) {
  Tensor logits = zeros({6, 5});
  auto error = [](const Tensor& x, const Tensor& t, const CrossEntropyOptions& options = {}) {
    return message_of([&] { cross_entropy(x, t, options); });
  };
  std::string misfit = "[cross_entropy] the targets do not fit the logits; got logits f32[6x5], ";
  std::string expected = "; expected targets i64[6] (classes) or f32[6x5] (probabilities)";
  EXPECT_EQ(error(logits, zeros({7}, DType::i64)), misfit + "targets i64[7]" + expected);
  EXPECT_EQ(error(logits, zeros({6, 1}, DType::i64)),
            misfit + "targets i64[6x1]" + expected + "; squeeze(targets, 1)");
  EXPECT_EQ(error(logits, zeros({6, 5}, DType::i64)),
            misfit + "targets i64[6x5]" + expected +
                "; one-hot targets: cast them to the logits' dtype, or pass argmax(targets, 1)");
  EXPECT_EQ(error(logits, zeros({6})),
            misfit + "targets f32[6]" + expected + "; cast the targets to i64");
  EXPECT_NE(error(zeros({2, 7, 5}), zeros({2, 7}, DType::i64)).find("swap_axes(logits, 1, 2)"),
            std::string::npos);
  Tensor targets = zeros({6}, DType::i64);
  EXPECT_EQ(error(logits, targets, {.weight = ones({4})}),
            "[cross_entropy] the class weights do not fit the logits; got logits f32[6x5], weight "
            "f32[4]; expected a weight of f32[5]");
  EXPECT_EQ(error(logits, targets, {.label_smoothing = 1.5}),
            "[cross_entropy] a label smoothing of 1.5; expected one in [0, 1]");
  EXPECT_EQ(error(zeros({6, 5}, DType::i64), targets),
            "[cross_entropy] wrong dtype; got i64[6x5]; expected logits of a floating dtype");
  EXPECT_EQ(error(zeros({6, 0}), targets), "[cross_entropy] the logits 6x0 have no classes");
}

TEST(CompositeErrors, OtherLosses) {
  EXPECT_EQ(message_of([] {
              mse_loss(zeros({4, 1}), zeros({4}));
            }),
            "[mse_loss] prediction and target differ in shape; got 4x1 and 4; expected equal "
            "shapes; squeeze(prediction, -1), or broadcast_to one of them");
  EXPECT_EQ(message_of([] { huber_loss(zeros({4}), zeros({4}), 0); }),
            "[huber_loss] a delta of 0; expected a positive number");
  EXPECT_EQ(message_of([] { l1_loss(zeros({4}), zeros({4}), Reduction::batch_mean); }),
            "[l1_loss] reduction batch_mean is for kl_div alone");
}

TEST(CompositeErrors, Norms) {
  EXPECT_EQ(message_of([] {
              batch_norm(zeros({2, 32, 4}), ones({64}));
            }),
            "[batch_norm] the input has 32 channels, the weight is for 64; got input 2x32x4, "
            "weight 64; expected a weight of shape 32; channels are dimension 1; make the layer "
            "for 32 channels");
  EXPECT_EQ(message_of([] {
              batch_norm(zeros({1, 3}));
            }),
            "[batch_norm] one value per channel has no variance to train on; got input 1x3; "
            "expected more than one value per channel; use a batch of at least 2, or the layer in "
            "evaluation mode");
  EXPECT_EQ(message_of([] {
              layer_norm(zeros({2, 3}), {4});
            }),
            "[layer_norm] the input does not end in the normalised shape; got input 2x3, "
            "normalised shape 4; expected an input [..., 4]");
  EXPECT_EQ(message_of([] {
              group_norm(zeros({2, 6, 4}), 4);
            }),
            "[group_norm] the 6 channels do not divide into 4 groups");
}

TEST(Composites, DroppedAttentionWeightsDoNotDependOnTheOrderOfHeads) {
  Tensor q = sin(cast(reshape(arange(2 * 3 * 4 * 5), Shape{2, 3, 4, 5}), DType::f32));
  auto exchanged = [](const Tensor& x) { return transpose(x, {0, 2, 1, 3}); };
  auto attend = [](const Tensor& x, bool inside) {
    manual_seed(3);
    return scaled_dot_product_attention(x, x, x, {.dropout = 0.5, .heads_inside = inside});
  };
  expect_close(exchanged(attend(exchanged(q), true)), attend(q, false), 0, "heads inside");
}

TEST(Composites, AttentionOfAFileWithoutOrderOfHeadsHasThemBeforePositions) {
  Attrs attrs = op::scaled_dot_product_attention.read_attrs({{"scale", 0.5}, {"causal", true}});
  EXPECT_EQ(attrs.as<AttentionAttrs>().scale, 0.5);
  EXPECT_TRUE(attrs.as<AttentionAttrs>().causal);
  EXPECT_FALSE(attrs.as<AttentionAttrs>().heads_inside);
}

TEST(CompositeErrors, Attention) {
  Tensor q = zeros({2, 4, 5});
  EXPECT_EQ(message_of([&] {
              scaled_dot_product_attention(q, zeros({2, 6, 7}), zeros({2, 6, 7}));
            }),
            "[scaled_dot_product_attention] query and key differ in width; got query 2x4x5, key "
            "2x6x7, value 2x6x7; expected equal last dimensions");
  EXPECT_EQ(message_of([&] {
              scaled_dot_product_attention(q, q, q, {.mask = zeros({4, 3})});
            }),
            "[scaled_dot_product_attention] the mask does not fit; got query 2x4x5, key 2x4x5, "
            "value 2x4x5, mask 4x3; expected a mask that broadcasts to 2x4x4");
  EXPECT_EQ(message_of([&] {
              scaled_dot_product_attention(q, zeros({3, 4, 5}), q, {.heads_inside = true});
            }),
            "[scaled_dot_product_attention] key and value differ in number; got query 2x4x5, key "
            "3x4x5, value 2x4x5; expected equal dimensions of positions");
  EXPECT_EQ(message_of([] {
              Tensor x = zeros({4, 5});
              scaled_dot_product_attention(x, x, x, {.heads_inside = true});
            }),
            "[scaled_dot_product_attention] too few dimensions; got query 4x5, key 4x5, value 4x5; "
            "expected [..., positions, heads, width]");
}

}  // namespace
}  // namespace wafer
