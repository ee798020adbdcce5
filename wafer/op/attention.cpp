#include "wafer/op/attention.h"

#include <cmath>
#include <limits>

#include "wafer/op/composite.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/gradient_of.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/random.h"
#include "wafer/op/reduce.h"
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

// The gradient by the scores, P * (G - sum(P * G)), of the weights P and G, the gradient by them.
// What a mask hides has the weight 0, so its gradient is 0 too.
Tensor by_scores(const Tensor& weights, const Tensor& g, const Tensor& value) {
  Tensor by_weights = matmul(g, value, false, true);
  return weights * (by_weights - reduce_sum(weights * by_weights, {-1}, true));
}

std::vector<Type> infer_attention_gradient(const InferArgs& args) {
  const Tensor& g = args.inputs[0];
  Tensors in(args.inputs.begin() + 1, args.inputs.end());
  std::vector<Type> result = infer_attention({in, args.attrs, args.subgraphs});
  WAFER_CHECK(g.type() == result[0], "attention's gradient: ", g.type(), " for ", result[0]);
  return {in[0].type(), in[1].type(), in[2].type()};
}

// A part for each product with queries and keys, and one for each with values.
Cost attention_cost(const Node& node, size_t first, double by_width, double by_value_width) {
  const Tensor &query = node.inputs[first], &value = node.inputs[first + 2];
  auto scores = static_cast<double>(leading(query).elements()) *
                static_cast<double>(query.size(-2)) * static_cast<double>(value.size(-2));
  double width = by_width * static_cast<double>(query.size(-1)) +
                 by_value_width * static_cast<double>(value.size(-1));
  return {scores * (2 * width + 12), bytes_touched(node)};
}

Tensors attention_vjp(const VjpArgs& v) {
  const auto& attrs = v.node.attr<AttentionAttrs>();
  const Tensor& g = v.output_gradients[0];
  Tensors in = {g};
  in.insert(in.end(), v.inputs.begin(), v.inputs.end());
  Tensors result = make_node(op::scaled_dot_product_attention_gradient, in, v.node.attrs);
  if (v.inputs.size() == 4) {
    result.emplace_back();
    if (v.needed[3]) {
      Tensor all = by_scores(attention_weights(v.inputs, attrs), g, v.inputs[2]);
      const Tensor& mask = v.inputs[3];
      result[3] = gradient_of({broadcast_to(mask, all.shape())}, {all}, {mask})[0];
    }
  }
  return result;
}
}  // namespace

const OpDef scaled_dot_product_attention_def = {
    .name = op_name,
    .infer = infer_attention,
    .vjp = attention_vjp,
    .decompose = [](const Node& node, const Tensors& in) -> Tensors {
      return {matmul(attention_weights(in, node.attr<AttentionAttrs>()), in[2])};
    },
    .cost = [](const Node& node) { return attention_cost(node, 0, 1, 1); },
    .read_attrs = Attrs::read<AttentionAttrs>};

const OpDef scaled_dot_product_attention_gradient_def = {
    .name = "scaled_dot_product_attention_gradient",
    .infer = infer_attention_gradient,
    .decompose = [](const Node& node, const Tensors& all) -> Tensors {
      const auto& attrs = node.attr<AttentionAttrs>();
      const Tensor& g = all[0];
      Tensors in(all.begin() + 1, all.end());
      Tensor weights = attention_weights(in, attrs);
      Tensor scores = by_scores(weights, g, in[2]) * attrs.scale;
      return {matmul(scores, in[1]), matmul(scores, in[0], true, false),
              matmul(weights, g, true, false)};
    },
    .cost = [](const Node& node) { return attention_cost(node, 1, 3, 2); },
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
