#include "wafer/nn/linear.h"

#include <cmath>

#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/random.h"
#include "wafer/op/shape_ops.h"

namespace wafer::nn {

namespace {
// The shape of one sample, without the batch.
Shape without_batch(const Shape& shape) {
  return Shape(std::vector<Dim>(shape.dims().begin() + 1, shape.dims().end()));
}

// The shape before the flatten that x comes from, looked for through element-wise ops; a scalar's
// where x was not flattened.
Shape shape_before_flatten(const Tensor& x) {
  const Node* node = &x.node();
  while (node->op->elementwise && !node->inputs.empty()) node = &node->inputs[0].node();
  if (!node->is(op::reshape) || node->inputs[0].rank() <= x.rank()) return {};
  return node->inputs[0].shape();
}

[[noreturn]] void throw_features(const Tensor& x, int64_t in, int64_t out) {
  Shape before = shape_before_flatten(x);
  bool flattened = before.rank() > 0;
  std::string layer = str("Linear{", x.shape()[-1], ", ", out, "}");
  std::string origin =
      flattened ? str(", which is ", without_batch(before), " flattened") : std::string();
  throw UserError(
      "linear",
      str("the input has ", x.shape()[-1], " features", origin, ", but the layer takes ", in),
      {.got = str("input ", x.shape(), " and Linear{", in, ", ", out, "}"),
       .expected = str("an input of ", in, " features"),
       .hint = flattened ? str("write ", layer, ", or change the layers before the flatten")
                         : str("write ", layer)});
}
}  // namespace

Linear::Linear(int64_t in, int64_t out, const LinearOptions& options) : in_(in), out_(out) {
  WAFER_REQUIRE(in > 0 && out > 0, "linear", "Linear{", in, ", ", out,
                "}: both numbers of features must be positive");
  double bound = 1 / std::sqrt(static_cast<double>(in));
  parameter("weight", weight, Shape{out, in}, init::kaiming_uniform(std::sqrt(5.0)));
  if (options.bias) parameter("bias", bias, Shape{out}, init::uniform(-bound, bound));
}

Tensor Linear::forward(const Tensor& x) {
  WAFER_REQUIRE(x.rank() >= 1, "linear", "the input is a scalar; expected [..., ", in_, "]");
  if (!(x.shape()[-1] == Dim(in_))) throw_features(x, in_, out_);
  return linear(x, weight, bias);
}

std::string Linear::describe() const {
  return str("Linear{", in_, ", ", out_, bias ? "}" : ", {.bias = false}}");
}

Embedding::Embedding(int64_t entries, int64_t width, const EmbeddingOptions& options)
    : entries_(entries), width_(width), padding_index_(options.padding_index) {
  WAFER_REQUIRE(entries > 0 && width > 0, "embedding", "Embedding{", entries, ", ", width,
                "}: both sizes must be positive");
  WAFER_REQUIRE(padding_index_ >= -1 && padding_index_ < entries, "embedding", "padding index ",
                padding_index_, " of a table of ", entries, " entries");
  parameter("weight", weight, Shape{entries, width}, init::normal(0, options.deviation));
}

Tensor Embedding::forward(const Tensor& indices) {
  WAFER_REQUIRE(is_integer(indices.dtype()), "embedding", "indices of ", indices.dtype(),
                "; expected i64 or i32");
  Tensor rows = embedding(weight, indices);
  if (padding_index_ < 0) return rows;
  Tensor is_padding = unsqueeze(equal(indices, static_cast<double>(padding_index_)), -1);
  return where(is_padding, scalar_like(rows, 0), rows);
}

std::string Embedding::describe() const {
  return str("Embedding{", entries_, ", ", width_, "}");
}

Tensor Flatten::forward(const Tensor& x) {
  return flatten(x, start_, end_);
}
std::string Flatten::describe() const {
  return start_ == 1 && end_ == -1 ? "Flatten{}" : str("Flatten{", start_, ", ", end_, "}");
}

Dropout::Dropout(double probability) : probability_(probability) {
  WAFER_REQUIRE(probability >= 0 && probability <= 1, "dropout", "a probability of ", probability,
                "; expected one in [0, 1]");
}
Tensor Dropout::forward(const Tensor& x) {
  return training() ? dropout(x, probability_) : x;
}
std::string Dropout::describe() const {
  return str("Dropout{", probability_, "}");
}

}  // namespace wafer::nn
