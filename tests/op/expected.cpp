#include "tests/op/expected.h"

#include <map>

#include "wafer/op/activation.h"
#include "wafer/op/conv.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/loss.h"
#include "wafer/op/matmul.h"
#include "wafer/op/norm.h"
#include "wafer/op/op.h"
#include "wafer/op/pool.h"
#include "wafer/op/random.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/op/softmax.h"

namespace wafer::op_tests {

namespace {

using In = std::vector<Tensor>;
using Out = std::vector<Tensor>;
using Unary = Tensor (*)(const Tensor&);
using Cases = std::vector<ExpectedCase>;

Build of(Unary fn) {
  return [fn](const In& in) -> Out { return {fn(in[0])}; };
}
Build of(BinaryOp fn) {
  return [fn](const In& in) -> Out { return {fn(in[0], in[1])}; };
}

Cases elementwise() {
  Cases c;
  for (const auto& [name, fn] : std::vector<std::pair<const char*, Unary>>{
           {"neg", neg},     {"abs", abs},       {"sign", sign},
           {"exp", exp},     {"expm1", expm1},   {"log", log},
           {"log1p", log1p}, {"sqrt", sqrt},     {"sin", sin},
           {"cos", cos},     {"tan", tan},       {"asin", asin},
           {"acos", acos},   {"atan", atan},     {"tanh", tanh},
           {"erf", erf},     {"floor", floor},   {"ceil", ceil},
           {"round", round}, {"is_nan", is_nan}, {"is_finite", is_finite}}) {
    c.push_back({name, of(fn), 8, false});
  }
  for (const auto& [name, fn] : std::vector<std::pair<const char*, Unary>>{
           {"relu", relu},
           {"sigmoid", sigmoid},
           {"silu", silu},
           {"gelu", [](const Tensor& x) { return gelu(x); }},
           {"gelu_tanh", [](const Tensor& x) { return gelu(x, true); }},
           {"leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.2); }},
           {"elu", [](const Tensor& x) { return elu(x, 1.5); }},
           {"softplus", softplus},
           {"log_sigmoid", log_sigmoid},
           {"hard_sigmoid", hard_sigmoid},
           {"hard_swish", hard_swish},
           {"clamp", [](const Tensor& x) { return clamp(x, -0.5, 1); }}}) {
    c.push_back({name, of(fn)});
  }
  for (const auto& [name, fn] : binary_ops()) {
    c.push_back({name, of(fn), 8, false});
  }
  c.push_back({"where", [](const In& in) -> Out { return {where(in[0], in[1], in[2])}; }});
  c.push_back({"broadcast", [](const In& in) -> Out { return {in[0] * in[1] + in[0]}; }});
  for (DType dtype : {DType::i8, DType::u8, DType::i16, DType::i32, DType::i64}) {
    std::string kind = str(is_signed(dtype) ? "int" : "uint", bits(dtype));
    for (const auto& [name, fn] :
         std::vector<std::pair<const char*, BinaryOp>>{{"add ", add},
                                                       {"sub ", sub},
                                                       {"mul ", mul},
                                                       {"remainder ", remainder},
                                                       {"floor_divide ", floor_divide},
                                                       {"maximum ", maximum},
                                                       {"less ", less},
                                                       {"pow ", pow}}) {
      c.push_back({name + kind, of(fn)});
    }
    auto to = [](DType target) -> Build {
      return [target](const In& in) -> Out { return {cast(in[0], target)}; };
    };
    c.push_back({"to " + kind, to(dtype)});
    c.push_back({"from " + kind + " to int16", to(DType::i16)});
    c.push_back({"from " + kind + " to float32", to(DType::f32), 0});
    c.push_back({"from " + kind + " to bool", to(DType::boolean)});
  }
  // To the bit.
  c.push_back({"to float16", [](const In& in) -> Out { return {cast(in[0], DType::f16)}; }, 0});
  c.push_back({"to bfloat16",
               [](const In& in) -> Out { return {cast(cast(in[0], DType::bf16), DType::f32)}; },
               0});
  c.push_back({"to float32", [](const In& in) -> Out { return {cast(in[0], DType::f32)}; }, 0});
  c.push_back({"add float16", of(add), 0});
  c.push_back({"mul float16", of(mul), 0});
  c.push_back({"div float16", of(div), 0});
  return c;
}

Cases shape() {
  return {
      {"transpose",
       [](const In& in) -> Out {
         return {transpose(in[0], {2, 0, 3, 1})};
       }},
      {"slice",
       [](const In& in) -> Out {
         return {slice(in[0], {1, 2}, {6, 9}, {2, 3})};
       }},
      {"narrow", [](const In& in) -> Out { return {narrow(in[0], 1, -3, 6)}; }},
      {"flip",
       [](const In& in) -> Out {
         return {flip(in[0], {0, 2})};
       }},
      {"pad",
       [](const In& in) -> Out {
         return {pad(in[0], {0, 0, 2}, {0, 3, 1}, 0.5)};
       }},
      {"pad_cut",
       [](const In& in) -> Out {
         return {pad(in[0], {1, -1}, {-2, 2})};
       }},
      {"concat", [](const In& in) -> Out { return {concat(in, 1)}; }},
      {"stack", [](const In& in) -> Out { return {stack(in, -1)}; }},
      {"tril", [](const In& in) -> Out { return {tril(in[0], 1)}; }},
      {"triu", [](const In& in) -> Out { return {triu(in[0], -1)}; }},
      {"broadcast_to",
       [](const In& in) -> Out {
         return {broadcast_to(in[0], Shape{4, 2, 5, 3})};
       }},
      {"eye", [](const In&) -> Out { return {eye(4, DType::f64)}; }},
      {"reshape",
       [](const In& in) -> Out {
         return {reshape(transpose(in[0], {1, 0}), Sizes{2, 10})};
       }},
  };
}

Cases reduce() {
  auto over = [](Tensor (*fn)(const Tensor&, const Axes&, bool), Axes axes,
                 bool keep = false) -> Build {
    return [=](const In& in) -> Out { return {fn(in[0], axes, keep)}; };
  };
  auto along = [](Tensor (*fn)(const Tensor&, int, bool), int axis) -> Build {
    return [=](const In& in) -> Out { return {fn(in[0], axis, false)}; };
  };
  Build running = [](const In& in) -> Out { return {cumsum(in[0], 1)}; };
  Cases c = {
      {"sum", over(reduce_sum, {0, 2})},
      {"sum_all", over(reduce_sum, {})},
      {"mean", over(mean, {1}, true)},
      {"prod", over(reduce_prod, {1})},
      {"max", over(reduce_max, {1, 2})},
      {"min", over(reduce_min, {0})},
      {"var",
       [](const In& in) -> Out {
         return {variance(in[0], {0, 2})};
       }},
      {"var_biased", [](const In& in) -> Out { return {variance(in[0], {}, false, 0)}; }},
      {"logsumexp", over(logsumexp, {1})},
      {"cumsum", running},
      {"argmax", along(argmax, 1)},
      {"argmin", along(argmin, 0)},
      {"any", over(reduce_any, {1})},
      {"all", over(reduce_all, {1})},
      {"sum with NaN and infinity", over(reduce_sum, {1})},
      {"max with NaN and infinity", over(reduce_max, {1})},
      {"min with NaN and infinity", over(reduce_min, {1})},
      {"argmax with NaN and infinity", along(argmax, 1)},
      {"argmin with NaN and infinity", along(argmin, 1)},
      {"cumsum with NaN and infinity", running},
      {"logsumexp with NaN and infinity", over(logsumexp, {1})},
      {"sum of nothing", over(reduce_sum, {0})},
      {"prod of nothing", over(reduce_prod, {0})},
  };
  for (const char* kind : {"int8", "uint8", "int32", "int64", "bool"}) {
    c.push_back({str("sum ", kind), over(reduce_sum, {1})});
    c.push_back({str("prod ", kind), over(reduce_prod, {1})});
  }
  return c;
}

Cases matrix() {
  Cases c;
  for (const char* name : {"matrices", "batches", "batches broadcast", "vectors",
                           "matrix by vector", "vector by matrix", "rows", "nothing", "int32"}) {
    c.push_back({name, [](const In& in) -> Out { return {matmul(in[0], in[1])}; }});
  }
  c.push_back(
      {"transposed", [](const In& in) -> Out { return {matmul(in[0], in[1], true, true)}; }});
  c.push_back({"linear", [](const In& in) -> Out { return {linear(in[0], in[1], in[2])}; }});
  return c;
}

Cases convolution() {
  auto forward = [](const ConvOptions& o) -> Build {
    return [o](const In& in) -> Out { return {conv(in[0], in[1], in[2], o)}; };
  };
  auto transposed = [](const ConvOptions& o, const Sizes& extra = {0}) -> Build {
    return
        [o, extra](const In& in) -> Out { return {conv_transpose(in[0], in[1], in[2], o, extra)}; };
  };
  return {
      {"1d", forward({})},
      {"1d all", forward({.stride = {2}, .padding = {2}, .dilation = {2}, .groups = 2})},
      {"2d", forward({.padding = {1}})},
      {"2d stride", forward({.stride = {2, 3}, .padding = {1, 0}})},
      {"2d dilation", forward({.padding = {2}, .dilation = {2, 3}})},
      {"2d groups", forward({.groups = 2})},
      {"2d depthwise", forward({.stride = {2}, .padding = {1}, .groups = 3})},
      {"3d", forward({.stride = {1, 2, 1}, .padding = {1, 1, 0}})},
      {"1d transpose", transposed({.stride = {2}, .padding = {1}})},
      {"2d transpose", transposed({.stride = {2, 3}, .padding = {1, 0}}, {1, 2})},
      {"2d transpose groups", transposed({.dilation = {2}, .groups = 2})},
      {"3d transpose", transposed({.stride = {2}})},
  };
}

Cases pooling() {
  auto max = [](const PoolOptions& o) -> Build {
    return [o](const In& in) -> Out { return {max_pool(in[0], o)}; };
  };
  auto avg = [](const PoolOptions& o) -> Build {
    return [o](const In& in) -> Out { return {avg_pool(in[0], o)}; };
  };
  PoolOptions padded{.kernel = {3}, .stride = {2}, .padding = {1}};
  PoolOptions deep{.kernel = {2, 3, 2}, .stride = {2}, .padding = {1}};
  PoolOptions uncounted = padded, ceil = padded;
  uncounted.count_padding = false;
  ceil.ceil_mode = true;
  PoolOptions ceil_uncounted = ceil;
  ceil_uncounted.count_padding = false;
  return {
      {"max 1d", max({.kernel = {3}, .stride = {2}})},
      {"max 2d", max({.kernel = {2}})},
      {"max 2d padding", max(padded)},
      {"max 2d dilation",
       max({.kernel = {3, 2}, .stride = {2}, .padding = {1}, .dilation = {2, 3}})},
      {"max 2d ceil", max({.kernel = {3, 2}, .stride = {2}, .padding = {1, 0}, .ceil_mode = true})},
      {"max 3d", max(deep)},
      {"max of negative numbers beside padding", max(padded)},
      {"max NaN", max({.kernel = {2}})},
      {"avg 1d", avg(padded)},
      {"avg 2d", avg({.kernel = {2}})},
      {"avg 2d padding", avg(padded)},
      {"avg 2d padding not counted", avg(uncounted)},
      {"avg 2d ceil", avg(ceil_uncounted)},
      {"avg 2d ceil counted", avg(ceil)},
      {"avg 3d", avg(deep)},
      {"adaptive avg",
       [](const In& in) -> Out {
         return {adaptive_avg_pool(in[0], {3, 4})};
       }},
      {"adaptive avg divides",
       [](const In& in) -> Out {
         return {adaptive_avg_pool(in[0], {3, 2})};
       }},
      {"adaptive max",
       [](const In& in) -> Out {
         return {adaptive_max_pool(in[0], {3, 4})};
       }},
  };
}

Cases indexing() {
  auto sorted = [](int axis, bool descending) -> Build {
    return [=](const In& in) -> Out {
      auto [values, indices] = sort(in[0], axis, descending);
      return {values, indices};
    };
  };
  auto best = [](int64_t k, int axis, bool largest) -> Build {
    return [=](const In& in) -> Out {
      auto [values, indices] = topk(in[0], k, axis, largest);
      return {values, indices};
    };
  };
  return {
      {"gather", [](const In& in) -> Out { return {gather(in[0], in[1], 1)}; }},
      {"embedding", [](const In& in) -> Out { return {embedding(in[0], in[1])}; }},
      {"scatter_add", [](const In& in) -> Out { return {scatter_add(in[0], in[1], in[2], 0)}; }},
      {"gather_elements", [](const In& in) -> Out { return {gather_elements(in[0], in[1], 1)}; }},
      {"scatter_elements add",
       [](const In& in) -> Out { return {scatter_elements(in[0], in[1], in[2], 1, true)}; }},
      {"scatter_elements set",
       [](const In& in) -> Out { return {scatter_elements(in[0], in[1], in[2], 0)}; }},
      {"one_hot", [](const In& in) -> Out { return {one_hot(in[0], 5, DType::i64)}; }},
      {"sort", sorted(1, false)},
      {"sort descending", sorted(1, true)},
      {"sort columns", sorted(0, false)},
      {"sort columns descending", sorted(0, true)},
      {"sort int16", sorted(1, false)},
      {"sort bool", sorted(0, false)},
      {"topk", best(3, -1, true)},
      {"topk least", best(2, 0, false)},
  };
}

Cases losses() {
  auto entropy = [](const CrossEntropyOptions& o) -> Build {
    return [o](const In& in) -> Out {
      CrossEntropyOptions options = o;
      if (in.size() > 2) options.weight = in[2];
      return {cross_entropy(in[0], in[1], options)};
    };
  };
  auto bce = [](const In& in) -> Out {
    BceOptions options;
    if (in.size() > 2) options.positive_weight = in[2];
    return {bce_with_logits(in[0], in[1], options)};
  };
  return {
      {"softmax", [](const In& in) -> Out { return {softmax(in[0], 1)}; }},
      {"log_softmax", [](const In& in) -> Out { return {log_softmax(in[0])}; }},
      {"cross_entropy mean", entropy({})},
      {"cross_entropy sum", entropy({.reduction = Reduction::sum})},
      {"cross_entropy none", entropy({.reduction = Reduction::none})},
      {"cross_entropy ignored", entropy({.ignore_index = 1})},
      {"cross_entropy smoothed", entropy({.label_smoothing = 0.1})},
      {"cross_entropy weighted", entropy({})},
      {"cross_entropy all", entropy({.ignore_index = 1, .label_smoothing = 0.2})},
      {"cross_entropy images", entropy({})},
      {"cross_entropy probabilities", entropy({.label_smoothing = 0.1})},
      {"nll_loss", [](const In& in) -> Out { return {nll_loss(log_softmax(in[0], 1), in[1])}; }},
      {"mse_loss", [](const In& in) -> Out { return {mse_loss(in[0], in[1])}; }},
      {"l1_loss", [](const In& in) -> Out { return {l1_loss(in[0], in[1])}; }},
      {"huber_loss", [](const In& in) -> Out { return {huber_loss(in[0], in[1], 0.7)}; }},
      {"smooth_l1_loss", [](const In& in) -> Out { return {smooth_l1_loss(in[0], in[1], 0.5)}; }},
      {"bce_with_logits", bce},
      {"bce_with_logits weighted", bce},
      {"kl_div", [](const In& in) -> Out { return {kl_div(in[0], in[1], Reduction::batch_mean)}; }},
      {"kl_div log",
       [](const In& in) -> Out { return {kl_div(in[0], in[1], Reduction::sum, true)}; }},
  };
}

Cases norms() {
  return {
      {"batch_norm", [](const In& in) -> Out { return {batch_norm(in[0], in[1], in[2]).y}; }},
      {"batch_norm plain", [](const In& in) -> Out { return {batch_norm(in[0], {}, {}, 1e-3).y}; }},
      {"batch_norm statistics",
       [](const In& in) -> Out {
         BatchNormResult r = batch_norm(in[0]);
         return {r.mean, r.variance, r.unbiased_variance};
       }},
      {"batch_norm_inference",
       [](const In& in) -> Out {
         return {batch_norm_inference(in[0], in[1], in[2], in[3], in[4])};
       }},
      {"layer_norm",
       [](const In& in) -> Out {
         return {layer_norm(in[0], {3, 5}, in[1], in[2])};
       }},
      {"layer_norm plain", [](const In& in) -> Out { return {layer_norm(in[0], {5})}; }},
      {"rms_norm", [](const In& in) -> Out { return {rms_norm(in[0], {5}, in[1])}; }},
      {"rms_norm epsilon",
       [](const In& in) -> Out {
         return {rms_norm(in[0], {3, 5}, {}, 0.1)};
       }},
      {"group_norm", [](const In& in) -> Out { return {group_norm(in[0], 2, in[1], in[2])}; }},
      {"instance_norm", [](const In& in) -> Out { return {instance_norm(in[0])}; }},
  };
}

Cases random() {
  // The streams that the file's words were made for.
  auto numbers = [](const OpDef& op, int64_t stream) -> Build {
    return [&op, stream](const In& in) -> Out {
      return {make(op, {in[0]}, RandomAttrs{Shape{50}, stream})};
    };
  };
  constexpr int64_t large = -(int64_t{1} << 50) - 3;
  // Giles' polynomial is within 4e-7 of the inverse error function.
  return {
      {"uniform small", numbers(op::random_uniform, 0), 0},
      {"uniform large", numbers(op::random_uniform, large), 0},
      {"normal small", numbers(op::random_normal, 0), 8, false},
      {"normal large", numbers(op::random_normal, large), 8, false},
  };
}

}  // namespace

std::vector<ExpectedCase> expected_cases(const std::string& family) {
  static const std::map<std::string, Cases (*)()> families = {{"elementwise", elementwise},
                                                              {"shape", shape},
                                                              {"reduce", reduce},
                                                              {"matmul", matrix},
                                                              {"conv", convolution},
                                                              {"pool", pooling},
                                                              {"index", indexing},
                                                              {"loss", losses},
                                                              {"norm", norms},
                                                              {"random", random}};
  return families.at(family)();
}

}  // namespace wafer::op_tests
