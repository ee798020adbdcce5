#include <cmath>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/matmul.h"

namespace wafer::onnx {

namespace {
// [batch, time, heads * width] as [time, batch, heads, width] in f32.
Tensor by_step(const Context& c, const Tensor& x, int64_t heads) {
  c.require(x.rank() == 3 && heads > 0 && x.size(2) % heads == 0,
            "expected [batch, time, heads * width]");
  Tensor y = reshape(x, {x.size(0), x.size(1), heads, x.size(2) / heads});
  return cast(transpose(y, {1, 0, 2, 3}), DType::f32);
}

// The state S [batch, heads, key width, value width] collects products of keys and values; decay
// lets it fade, and the delta rule writes what it does not hold yet.
Values linear_attention(Context& c) {
  std::string rule = c.text("update_rule", "gated_delta");
  bool gated = rule == "gated" || rule == "gated_delta";
  bool delta = rule == "delta" || rule == "gated_delta";
  c.require(gated || delta || rule == "linear", "update_rule '" + rule + "'");
  c.require(c.has(4) == gated && c.has(5) == delta, "decay or beta do not fit the update rule");
  int64_t heads = c.integer("q_num_heads"), shared = c.integer("kv_num_heads");
  c.require(shared > 0 && heads > 0 && heads % shared == 0, "key heads do not divide query heads");
  Tensor q = by_step(c, c.in(0), heads), k = by_step(c, c.in(1), shared);
  Tensor v = by_step(c, c.in(2), shared);
  int64_t time = q.size(0), batch = q.size(1), width = q.size(3), value_width = v.size(3);
  double scale = c.number("scale", 0);
  if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(width));
  std::vector<Tensor> xs = {mul(q, scale), k, v};
  if (gated) xs.push_back(exp(by_step(c, c.in(4), shared)));
  if (delta) xs.push_back(by_step(c, c.in(5), c.in(5).size(2)));  // a number for each head, or one
  DType state_type = c.has(3) ? c.in(3).dtype() : c.in(0).dtype();
  Tensor state = c.has(3) ? cast(c.in(3), DType::f32)
                          : zeros(Shape{batch, shared, width, value_width}, DType::f32);
  Ints order;
  for (int64_t i = 0; i < heads; ++i) order.push_back(i / (heads / shared));
  auto step = [&](const std::vector<Tensor>& carry, const std::vector<Tensor>& x) {
    Tensor s = carry[0], value = x[2];
    if (gated) s = mul(s, unsqueeze(x[3], 3));
    if (delta) {
      Tensor held = squeeze(matmul(unsqueeze(x[1], 2), s), 2);
      value = mul(x[gated ? 4 : 3], sub(value, held));
    }
    s = add(s, mul(unsqueeze(x[1], 3), unsqueeze(value, 2)));
    Tensor read = shared == heads ? s : take(s, order, 1);
    return ScanStep{{s}, {squeeze(matmul(unsqueeze(x[0], 2), read), 2)}};
  };
  ScanResult result = scan(step, {state}, xs, {.length = time});
  Tensor y = reshape(transpose(result.ys[0], {1, 0, 2, 3}), {batch, time, heads * value_width});
  return {cast(y, c.in(0).dtype()), cast(result.carries[0], state_type)};
}

constexpr RuleEntry linear_attention_table[] = {{"LinearAttention", linear_attention}};
}  // namespace

RuleList linear_attention_rules() {
  return linear_attention_table;
}

}  // namespace wafer::onnx
