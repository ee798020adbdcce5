#include "wafer/op/attention.h"

#include <cmath>
#include <limits>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"
#include "wafer/op/matmul.h"
#include "wafer/op/softmax.h"

namespace wafer::onnx {

namespace {
const double infinity = std::numeric_limits<double>::infinity();

// [batch, length, heads * width] as [batch, heads, length, width].
Tensor split_heads(const Context& c, const Tensor& x, int64_t heads) {
  c.require(heads > 0 && x.size(2) % heads == 0, "the heads do not divide the width");
  return transpose(reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads}), {0, 2, 1, 3});
}
Tensor join_heads(const Tensor& x) {
  Tensor y = transpose(x, {0, 2, 1, 3});
  return reshape(y, {y.size(0), y.size(1), y.size(2) * y.size(3)});
}

// Each head of keys and values for as many heads of queries as share it.
Tensor share_heads(const Context& c, const Tensor& x, int64_t heads) {
  if (x.size(1) == heads) return x;
  c.require(x.size(1) > 0 && heads % x.size(1) == 0, "key heads do not divide query heads");
  Ints order;
  for (int64_t i = 0; i < heads; ++i) order.push_back(i / (heads / x.size(1)));
  return take(x, order, 1);
}

// What is added to the scores: 0 or -infinity where a truth value decides.
Tensor bias_of(const Tensor& truth, DType type) {
  return where(truth, scalar(0, type), scalar(-infinity, type));
}

// Mask, causality and lengths as one tensor that broadcasts to the scores; empty: nothing.
Tensor score_bias(const Context& c, const Tensor& scores, int64_t past) {
  DType type = scores.dtype();
  int64_t queries = scores.size(2), keys = scores.size(3);
  Tensor bias;
  auto join = [&](const Tensor& more) { bias = bias ? add(bias, more) : more; };
  if (c.has(3)) {
    Tensor mask = c.in(3);
    bool truth = mask.dtype() == DType::boolean;
    if (truth) mask = bias_of(mask, type);
    c.require(mask.rank() >= 1 && mask.size(-1) <= keys, "the mask is longer than the keys");
    if (mask.size(-1) < keys) {
      Ints low(static_cast<size_t>(mask.rank())), high(low);
      high.back() = keys - mask.size(-1);
      mask = pad(mask, low, high, -infinity);
    }
    join(cast(mask, type));
  }
  if (c.flag("is_causal")) {
    Tensor row = iota(Shape{queries, keys}, 0), column = iota(Shape{queries, keys}, 1);
    join(bias_of(less_equal(column, add(row, Tensor(past))), type));
  }
  if (c.has(6)) {
    Tensor length = reshape(cast(c.in(6), DType::i64), {c.in(6).elements(), 1, 1, 1});
    join(bias_of(less(reshape(arange(keys), {1, 1, 1, keys}), length), type));
  }
  return bias;
}

Values attention(Context& c) {
  Tensor q = c.in(0), k = c.in(1), v = c.in(2);
  bool packed = q.rank() == 3;
  if (packed) {
    int64_t heads = c.integer("q_num_heads"), shared = c.integer("kv_num_heads");
    q = split_heads(c, q, heads);
    k = split_heads(c, k, shared);
    v = split_heads(c, v, shared);
  }
  c.require(q.rank() == 4 && k.rank() == 4 && v.rank() == 4, "expected 3 or 4 dimensions");
  int64_t past = 0;
  if (c.has(4) && c.has(5)) {
    past = c.in(4).size(2);
    k = concat({c.in(4), k}, 2);
    v = concat({c.in(5), v}, 2);
  }
  Values out = {{}, k, v, {}};
  Tensor keys = share_heads(c, k, q.size(1)), values = share_heads(c, v, q.size(1));
  double scale = c.number("scale", 1 / std::sqrt(static_cast<double>(q.size(3))));
  double softcap = c.number("softcap", 0);
  DType type = q.dtype();
  double root = std::sqrt(scale);
  Tensor scores = matmul(mul(q, root), mul(keys, root), false, true), shown = scores;
  if (softcap > 0) scores = mul(tanh(div(scores, softcap)), softcap);
  int64_t mode = c.integer("qk_matmul_output_mode", 0);
  if (mode == 1) shown = scores;
  if (Tensor bias = score_bias(c, scores, past)) scores = add(scores, bias);
  if (mode == 2) shown = scores;
  if (c.given("softmax_precision")) {
    ElementType precision = element_type(c.integer("softmax_precision"), "Attention");
    if (bits(carrier(precision)) > bits(type)) scores = cast(scores, carrier(precision));
  }
  Tensor weights = softmax(scores, -1);
  if (mode == 3) shown = cast(weights, type);
  Tensor y = cast(matmul(cast(weights, type), values), type);
  out[0] = packed ? join_heads(y) : y;
  out[3] = shown;
  return out;
}

// The scores and the probabilities each go through a graph of the model.
Values flex_attention(Context& c) {
  Tensor q = c.in(0), k = share_heads(c, c.in(1), c.in(0).size(1));
  Tensor v = share_heads(c, c.in(2), c.in(0).size(1));
  double scale = c.number("scale", 1 / std::sqrt(static_cast<double>(q.size(3))));
  DType type = q.dtype();
  DType precision = type == DType::f64 ? type : DType::f32;
  if (c.given("softmax_precision"))
    precision = carrier(element_type(c.integer("softmax_precision"), "FlexAttention"));
  auto changed = [&](const Tensor& x, const char* attribute) {
    if (!c.given(attribute)) return x;
    auto outputs = c.walk().subgraph(c.graph_attribute(attribute), {Value(x)}, c.scope());
    c.require(outputs.size() == 1 && outputs[0].tensor, "the graph must give one tensor");
    return outputs[0].tensor;
  };
  Tensor scores = mul(matmul(cast(q, precision), cast(k, precision), false, true), scale);
  scores = cast(changed(cast(scores, type), "score_mod"), precision);
  Tensor weights = cast(softmax(scores, -1), type);
  return {matmul(changed(weights, "prob_mod"), v)};
}

Values rotary_embedding(Context& c) {
  Tensor x = c.in(0), cosine = c.in(1), sine = c.in(2);
  bool packed = x.rank() == 3;
  x = packed ? split_heads(c, x, c.integer("num_heads")) : x;  // [batch, heads, length, width]
  c.require(x.rank() == 4, "expected 3 or 4 dimensions");
  if (c.has(3)) {
    Tensor position = cast(c.in(3), DType::i64);
    cosine = gather(cosine, position);
    sine = gather(sine, position);
  }
  cosine = unsqueeze(cosine, 1);
  sine = unsqueeze(sine, 1);
  int64_t width = x.size(3), turned = c.integer("rotary_embedding_dim", 0);
  if (turned == 0) turned = width;
  c.require(turned % 2 == 0 && turned <= width && cosine.size(-1) == turned / 2,
            "the caches do not fit the rotated width");
  Tensor part = narrow(x, 3, 0, turned), first, second;
  bool interleaved = c.flag("interleaved");
  if (interleaved) {
    first = narrow(part, 3, 0, turned, 2);
    second = narrow(part, 3, 1, turned, 2);
  } else {
    first = narrow(part, 3, 0, turned / 2);
    second = narrow(part, 3, turned / 2, turned);
  }
  Tensor real = sub(mul(cosine, first), mul(sine, second));
  Tensor imaginary = add(mul(sine, first), mul(cosine, second));
  Tensor y = interleaved ? reshape(stack({real, imaginary}, 4), part.shape())
                         : concat({real, imaginary}, 3);
  if (turned < width) y = concat({y, narrow(x, 3, turned, width)}, 3);
  return {packed ? join_heads(y) : y};
}

constexpr RuleEntry attention_table[] = {
    {"Attention", attention},
    {"FlexAttention", flex_attention, false, "ai.onnx.preview"},
    {"RotaryEmbedding", rotary_embedding},
};
}  // namespace

RuleList attention_rules() {
  return attention_table;
}

}  // namespace wafer::onnx
