#include "wafer/op/attention.h"

#include <algorithm>
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

Shape assemble(const Shape& leading, const Dim& positions, const Dim& width,
               bool heads_inside = false) {
  auto dims = leading.dims();
  dims.insert(dims.end() - (heads_inside ? 1 : 0), positions);
  dims.push_back(width);
  return Shape(std::move(dims));
}

// From [..., positions, heads, width] to [..., heads, positions, width], and back.
Tensor exchange_heads(const Tensor& x) {
  return swap_axes(x, x.rank() - 3, x.rank() - 2);
}

// The first `count` with heads before positions.
Tensors with_heads_outside(Tensors in, size_t count, const AttentionAttrs& attrs) {
  for (size_t i = 0; attrs.heads_inside && i < count; ++i) in[i] = exchange_heads(in[i]);
  return in;
}

[[noreturn]] void misfit(const std::string& what, const Tensors& in, const std::string& expected) {
  throw UserError(op_name, what,
                  {.got = shapes_text({{"query", in[0]},
                                       {"key", in[1]},
                                       {"value", in[2]},
                                       {"mask", in.size() > 3 ? in[3] : Tensor()}}),
                   .expected = expected});
}

void check_ranks(const Tensors& in, bool heads_inside) {
  for (size_t i = 0; i < 3; ++i) {
    if (in[i].rank() < (heads_inside ? 3 : 2)) {
      misfit("too few dimensions", in,
             heads_inside ? "[..., positions, heads, width]" : "[..., positions, width]");
    }
  }
}

void check(const Tensors& in, bool heads_inside) {
  check_ranks(in, heads_inside);
  for (size_t i = 0; i < 3; ++i) {
    require_dtype(is_floating(in[i].dtype()) && in[i].dtype() == in[0].dtype(), op_name, in[i],
                  "query, key and value of one floating dtype");
  }
  AttentionShape query(in[0].shape(), heads_inside), key(in[1].shape(), heads_inside),
      value(in[2].shape(), heads_inside);
  if (!(query.width == key.width)) {
    misfit("query and key differ in width", in, "equal last dimensions");
  }
  if (!(key.positions == value.positions)) {
    misfit("key and value differ in number", in,
           heads_inside ? "equal dimensions of positions" : "equal dimensions before the last");
  }
  if (in.size() < 4) return;
  const Tensor& mask = in[3];
  Shape scores = assemble(query.leading, query.positions, key.positions);
  bool fits = mask.rank() <= scores.rank();
  for (int i = 1; fits && i <= mask.rank(); ++i) {
    fits = mask.shape()[-i] == Dim(1) || mask.shape()[-i] == scores[-i];
  }
  if (!fits) misfit("the mask does not fit", in, str("a mask that broadcasts to ", scores));
  require_dtype(mask.dtype() == DType::boolean || mask.dtype() == in[0].dtype(), op_name, mask,
                "a boolean mask, or one of the query's dtype to be added");
}

std::vector<Type> infer_attention(const InferArgs& args) {
  bool heads_inside = args.attrs.as<AttentionAttrs>().heads_inside;
  check(args.inputs, heads_inside);
  AttentionShape query(args.inputs[0].shape(), heads_inside),
      key(args.inputs[1].shape(), heads_inside), value(args.inputs[2].shape(), heads_inside);
  bool one_batch = query.leading == key.leading && query.leading == value.leading;
  WAFER_CHECK(one_batch, "attention: leading dimensions differ");
  return {Type{args.inputs[0].dtype(),
               assemble(query.leading, query.positions, value.width, heads_inside)}};
}

// Weights of each key for each query: [..., queries, keys]. All with heads before positions.
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
  bool heads_inside = node.attr<AttentionAttrs>().heads_inside;
  AttentionShape query(node.inputs[first].shape(), heads_inside),
      value(node.inputs[first + 2].shape(), heads_inside);
  auto scores =
      static_cast<double>(assemble(query.leading, query.positions, value.positions).elements());
  double width = by_width * static_cast<double>(query.width.value()) +
                 by_value_width * static_cast<double>(value.width.value());
  return {scores * (2 * width + 12), bytes_touched(node)};
}

// A file may lack `heads_inside`: its heads are before positions.
Attrs read_attention(const AttrList& list) {
  AttrList all = list;
  bool there = std::any_of(list.begin(), list.end(),
                           [](const auto& entry) { return entry.first == "heads_inside"; });
  if (!there) all.emplace_back("heads_inside", false);
  return Attrs::read<AttentionAttrs>(all);
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
      Tensors parts = with_heads_outside(v.inputs, 3, attrs);
      Tensor by = attrs.heads_inside ? exchange_heads(g) : g;
      Tensor all = by_scores(attention_weights(parts, attrs), by, parts[2]);
      const Tensor& mask = v.inputs[3];
      result[3] = gradient_of({broadcast_to(mask, all.shape())}, {all}, {mask})[0];
    }
  }
  return result;
}
}  // namespace

AttentionShape::AttentionShape(const Shape& shape, bool heads_inside)
    : positions(shape[heads_inside ? -3 : -2]), width(shape[-1]) {
  auto dims = shape.dims();
  dims.pop_back();
  dims.erase(dims.end() - (heads_inside ? 2 : 1));
  leading = Shape(std::move(dims));
}

const OpDef scaled_dot_product_attention_def = {
    .name = op_name,
    .infer = infer_attention,
    .vjp = attention_vjp,
    .decompose = [](const Node& node, const Tensors& all) -> Tensors {
      const auto& attrs = node.attr<AttentionAttrs>();
      Tensors in = with_heads_outside(all, 3, attrs);
      return with_heads_outside({matmul(attention_weights(in, attrs), in[2])}, 1, attrs);
    },
    .cost = [](const Node& node) { return attention_cost(node, 0, 1, 1); },
    .read_attrs = read_attention};

const OpDef scaled_dot_product_attention_gradient_def = {
    .name = "scaled_dot_product_attention_gradient",
    .infer = infer_attention_gradient,
    .decompose = [](const Node& node, const Tensors& all) -> Tensors {
      const auto& attrs = node.attr<AttentionAttrs>();
      Tensors parts = with_heads_outside(all, 4, attrs);
      const Tensor& g = parts[0];
      Tensors in(parts.begin() + 1, parts.end());
      Tensor weights = attention_weights(in, attrs);
      Tensor scores = by_scores(weights, g, in[2]) * attrs.scale;
      return with_heads_outside({matmul(scores, in[1]), matmul(scores, in[0], true, false),
                                 matmul(weights, g, true, false)},
                                3, attrs);
    },
    .cost = [](const Node& node) { return attention_cost(node, 1, 3, 2); },
    .read_attrs = read_attention};

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const AttentionOptions& options) {
  WAFER_REQUIRE(query && key && value, op_name, "query, key or value is an empty tensor");
  Tensors inputs = {query, key, value};
  bool inside = options.heads_inside;
  check_ranks(inputs, inside);
  std::vector<AttentionShape> shapes;
  for (const Tensor& x : inputs) shapes.emplace_back(x.shape(), inside);
  Shape leading = broadcast_shapes(broadcast_shapes(shapes[0].leading, shapes[1].leading, op_name),
                                   shapes[2].leading, op_name);
  for (size_t i = 0; i < 3; ++i) {
    inputs[i] =
        broadcast_to(inputs[i], assemble(leading, shapes[i].positions, shapes[i].width, inside));
  }
  if (options.mask) inputs.push_back(options.mask);
  check(inputs, inside);
  AttentionAttrs attrs{1, options.causal, inside};
  attrs.scale = options.scale ? *options.scale : 1 / std::sqrt(static_cast<double>(query.size(-1)));
  if (options.dropout == 0) return make(op::scaled_dot_product_attention, inputs, attrs);
  Tensors in = with_heads_outside(inputs, 3, attrs);
  Tensor y = matmul(dropout(attention_weights(in, attrs), options.dropout), in[2]);
  return inside ? exchange_heads(y) : y;
}

}  // namespace wafer
