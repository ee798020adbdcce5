#include "wafer/op/attention.h"

#include <cmath>
#include <limits>

#include "wafer/op/composite.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/random.h"
#include "wafer/op/shape_ops.h"
#include "wafer/op/softmax.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;
constexpr const char* op_name = "scaled_dot_product_attention";

Shape leading(const Tensor& x) {
  return Shape(std::vector<Dim>(x.shape().dims().begin(), x.shape().dims().end() - 2));
}

Shape with_matrix(const Shape& batches, const Dim& rows, const Dim& columns) {
  auto dims = batches.dims();
  dims.push_back(rows);
  dims.push_back(columns);
  return Shape(std::move(dims));
}

[[noreturn]] void misfit(const std::string& what, const Tensors& in, const std::string& expected) {
  throw UserError(op_name, what,
                  {.got = shapes_text({{"query", in[0]},
                                       {"key", in[1]},
                                       {"value", in[2]},
                                       {"mask", in.size() > 3 ? in[3] : Tensor()}}),
                   .expected = expected});
}

void check(const Tensors& in) {
  const Tensor &query = in[0], &key = in[1], &value = in[2];
  for (int i = 0; i < 3; ++i) {
    const Tensor& x = in[static_cast<size_t>(i)];
    require_dtype(is_floating(x.dtype()) && x.dtype() == query.dtype(), op_name, x,
                  "query, key and value of one floating dtype");
    if (x.rank() < 2) misfit("too few dimensions", in, "[..., positions, width]");
  }
  if (!(query.shape()[-1] == key.shape()[-1])) {
    misfit("query and key differ in width", in, "equal last dimensions");
  }
  if (!(key.shape()[-2] == value.shape()[-2])) {
    misfit("key and value differ in number", in, "equal dimensions before the last");
  }
  if (in.size() < 4) return;
  const Tensor& mask = in[3];
  Shape scores = with_matrix(leading(query), query.shape()[-2], key.shape()[-2]);
  bool fits = mask.rank() <= scores.rank();
  for (int i = 1; fits && i <= mask.rank(); ++i) {
    fits = mask.shape()[-i] == Dim(1) || mask.shape()[-i] == scores[-i];
  }
  if (!fits) misfit("the mask does not fit", in, str("a mask that broadcasts to ", scores));
  require_dtype(mask.dtype() == DType::boolean || mask.dtype() == query.dtype(), op_name, mask,
                "a boolean mask, or one of the query's dtype to be added");
}

std::vector<Type> infer_attention(const InferArgs& args) {
  check(args.inputs);
  const Tensor &query = args.inputs[0], &value = args.inputs[2];
  bool one_batch = leading(query) == leading(args.inputs[1]) && leading(query) == leading(value);
  WAFER_CHECK(one_batch, "attention: leading dimensions differ");
  return {Type{query.dtype(), with_matrix(leading(query), query.shape()[-2], value.shape()[-1])}};
}

// Weights of each key for each query: [..., queries, keys].
Tensor attention_weights(const Tensors& in, const AttentionAttrs& attrs) {
  Tensor scores = matmul(in[0] * attrs.scale, in[1], false, true);
  Tensor nothing = scalar_like(scores, -std::numeric_limits<double>::infinity());
  if (attrs.causal) {
    Shape matrix{scores.shape()[-2], scores.shape()[-1]};
    Tensor seen = less_equal(iota(matrix, 1, DType::i32), iota(matrix, 0, DType::i32));
    scores = where(seen, scores, nothing);
  }
  if (in.size() < 4) return softmax(scores);
  const Tensor& mask = in[3];
  scores = mask.dtype() == DType::boolean ? where(mask, scores, nothing) : scores + mask;
  if (scores.shape()[-1] == Dim(0)) return scores;
  // A row of -inf has no softmax: it is taken out before, so that its gradient is 0 too.
  Tensor blind = equal(reduce_max(scores, {-1}, true), nothing);
  Tensor zero = scalar_like(scores, 0);
  return where(blind, zero, softmax(where(blind, zero, scores)));
}
}  // namespace

const OpDef scaled_dot_product_attention_def = {
    .name = op_name,
    .infer = infer_attention,
    .decompose = [](const Node& node, const Tensors& in) -> Tensors {
      return {matmul(attention_weights(in, node.attr<AttentionAttrs>()), in[2])};
    },
    .cost = [](const Node& node) -> Cost {
      const Tensor &query = node.inputs[0], &value = node.inputs[2];
      auto scores = static_cast<double>(leading(query).elements()) *
                    static_cast<double>(query.size(-2)) * static_cast<double>(value.size(-2));
      auto width = static_cast<double>(query.size(-1) + value.size(-1));
      return {scores * (2 * width + 12), bytes_touched(node)};
    },
    .read_attrs = Attrs::read<AttentionAttrs>};

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const AttentionOptions& options) {
  WAFER_REQUIRE(query && key && value, op_name, "query, key or value is an empty tensor");
  Tensors inputs = {query, key, value};
  for (const Tensor& x : inputs) {
    if (x.rank() < 2) misfit("too few dimensions", inputs, "[..., positions, width]");
  }
  Shape batches = broadcast_shapes(broadcast_shapes(leading(query), leading(key), op_name),
                                   leading(value), op_name);
  for (Tensor& x : inputs) {
    x = broadcast_to(x, with_matrix(batches, x.shape()[-2], x.shape()[-1]));
  }
  if (options.mask) inputs.push_back(options.mask);
  check(inputs);
  AttentionAttrs attrs{1, options.causal};
  attrs.scale = options.scale ? *options.scale : 1 / std::sqrt(static_cast<double>(query.size(-1)));
  if (options.dropout == 0) return make(op::scaled_dot_product_attention, inputs, attrs);
  return matmul(dropout(attention_weights(inputs, attrs), options.dropout), inputs[2]);
}

}  // namespace wafer
