#include "tests/op/run.h"
#include "wafer/op/activation.h"
#include "wafer/op/attention.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/conv.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/layout.h"
#include "wafer/op/loss.h"
#include "wafer/op/matmul.h"
#include "wafer/op/norm.h"
#include "wafer/op/op.h"
#include "wafer/op/pool.h"
#include "wafer/op/random.h"
#include "wafer/op/recurrent.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/op/softmax.h"
#include "wafer/tensor/grad.h"

namespace wafer::op_tests {

namespace {
using Tensors = std::vector<Tensor>;
using PerfCases = std::vector<OpCase>;
const Sizes million = {1024, 1024};

void row(PerfCases& cases, const char* op, const char* name, std::vector<Input> inputs, Build build,
         DType dtype = DType::f32) {
  cases.push_back({op, name, std::move(inputs), std::move(build), only(dtype)});
}

Input indices(Sizes sizes, double limit) {
  return {std::move(sizes), 0, limit, Fill::index, DType::i64};
}

void add_elementwise(PerfCases& cases) {
  using Unary = Tensor (*)(const Tensor&);
  struct One {
    const char* op;
    Unary build;
    double low = -2, high = 2;
  };
  for (const One& one : std::vector<One>{
           {"neg", neg},          {"abs", abs},      {"sign", sign},        {"exp", exp},
           {"expm1", expm1},      {"log", log, 0.1}, {"log1p", log1p, 0.1}, {"sqrt", sqrt, 0.1},
           {"sin", sin},          {"cos", cos},      {"tan", tan, -1, 1},   {"asin", asin, -1, 1},
           {"acos", acos, -1, 1}, {"atan", atan},    {"tanh", tanh},        {"erf", erf},
           {"floor", floor},      {"ceil", ceil},    {"round", round},      {"relu", relu},
           {"sigmoid", sigmoid},  {"silu", silu}}) {
    row(cases, one.op, "1M elements", {{million, one.low, one.high}},
        [build = one.build](const Tensors& in) -> Tensors { return {build(in[0])}; });
  }
  row(cases, "gelu", "1M elements", {{million}},
      [](const Tensors& in) -> Tensors { return {gelu(in[0])}; });
  row(cases, "cast", "1M elements to bf16", {{million}},
      [](const Tensors& in) -> Tensors { return {cast(in[0], DType::bf16)}; });
  for (const auto& [op, build] : binary_ops()) {
    row(cases, op, "1M elements", {{million, 0.5, 2}, {million, 0.5, 2}},
        [build = build](const Tensors& in) -> Tensors { return {build(in[0], in[1])}; });
  }
  row(cases, "mul", "1M elements, broadcast", {{million}, {{1024}}},
      [](const Tensors& in) -> Tensors { return {in[0] * in[1]}; });
  for (const auto& [op, build] :
       std::vector<std::pair<const char*, BinaryOp>>{{"logical_and", logical_and},
                                                     {"logical_or", logical_or},
                                                     {"logical_xor", logical_xor}}) {
    row(
        cases, op, "1M elements", {{million}, {million}},
        [build = build](const Tensors& in) -> Tensors { return {build(in[0], in[1])}; },
        DType::boolean);
  }
  row(
      cases, "logical_not", "1M elements", {{million}},
      [](const Tensors& in) -> Tensors { return {logical_not(in[0])}; }, DType::boolean);
  row(cases, "where", "1M elements",
      {{million, 0, 2, Fill::index, DType::boolean}, {million}, {million}},
      [](const Tensors& in) -> Tensors { return {where(in[0], in[1], in[2])}; });
}

void add_shapes(PerfCases& cases) {
  // A reshape alone is a view: this one meets a transpose.
  row(cases, "reshape", "of a transpose of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors {
        return {reshape(transpose(in[0], {1, 0}), Sizes{-1})};
      });
  row(cases, "transpose", "1024x1024", {{million}}, [](const Tensors& in) -> Tensors {
    return {transpose(in[0], {1, 0})};
  });
  row(cases, "transpose", "64x3x128x128 to channels last", {{{64, 3, 128, 128}}},
      [](const Tensors& in) -> Tensors {
        return {transpose(in[0], {0, 2, 3, 1})};
      });
  row(cases, "broadcast_to", "1024 to 1024x1024", {{{1024}}},
      [](const Tensors& in) -> Tensors { return {broadcast_to(in[0], Shape(million))}; });
  row(cases, "slice", "half of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {narrow(in[0], 1, 256, 768)}; });
  row(cases, "pad", "64x32x32x32 by 1", {{{64, 32, 32, 32}}}, [](const Tensors& in) -> Tensors {
    return {pad(in[0], {0, 0, 1, 1}, {0, 0, 1, 1})};
  });
  row(cases, "flip", "columns of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {flip(in[0], {1})}; });
  row(cases, "concat", "2 x 512x1024", {{{512, 1024}}, {{512, 1024}}},
      [](const Tensors& in) -> Tensors { return {concat(in, 0)}; });
  row(cases, "dynamic_slice", "512x512 of 1024x1024", {{million}, indices({2}, 512)},
      [](const Tensors& in) -> Tensors {
        return {dynamic_slice(in[0], in[1], {512, 512})};
      });
  row(cases, "dynamic_update_slice", "512x512 of 1024x1024",
      {{million}, {{512, 512}}, indices({2}, 512)},
      [](const Tensors& in) -> Tensors { return {dynamic_update_slice(in[0], in[1], in[2])}; });
  row(cases, "reorder", "64x32x32x32 to channels last and back", {{{64, 32, 32, 32}}},
      [](const Tensors& in) -> Tensors {
        return {reorder(reorder(in[0], Layout::channels_last), Layout::row_major)};
      });
  row(cases, "fused", "1M elements, four ops", {{million, 0.5, 2}, {million}},
      [](const Tensors& in) -> Tensors {
        auto group = std::make_shared<Graph>();
        Type type{in[0].dtype(), in[0].shape()};
        group->inputs = {make_input(type, "a"), make_input(type, "b")};
        const Tensor &a = group->inputs[0], &b = group->inputs[1];
        Tensor product = a * b;
        group->outputs = {maximum(exp(product) + a, b)};
        return fuse(group, in);
      });
}

void add_reductions(PerfCases& cases) {
  using Reduce = Tensor (*)(const Tensor&, const Axes&, bool);
  for (const auto& [op, build] :
       std::vector<std::pair<const char*, Reduce>>{{"reduce_sum", reduce_sum},
                                                   {"reduce_max", reduce_max},
                                                   {"reduce_min", reduce_min},
                                                   {"reduce_prod", reduce_prod}}) {
    row(cases, op, "rows of 1024x1024", {{million, 0.9, 1.1}},
        [build = build](const Tensors& in) -> Tensors { return {build(in[0], {1}, false)}; });
    row(cases, op, "columns of 1024x1024", {{million, 0.9, 1.1}},
        [build = build](const Tensors& in) -> Tensors { return {build(in[0], {0}, false)}; });
  }
  row(cases, "argmax", "rows of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {argmax(in[0], 1)}; });
  row(cases, "argmin", "rows of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {argmin(in[0], 1)}; });
  row(cases, "cumsum", "rows of 1024x1024", {{million}},
      [](const Tensors& in) -> Tensors { return {cumsum(in[0], 1)}; });
}

void add_contractions(PerfCases& cases) {
  row(cases, "matmul", "512x512 by 512x512", {{{512, 512}}, {{512, 512}}},
      [](const Tensors& in) -> Tensors { return {matmul(in[0], in[1])}; });
  row(cases, "matmul", "linear 64x3136 by 512x3136", {{{64, 3136}}, {{512, 3136}}},
      [](const Tensors& in) -> Tensors { return {linear(in[0], in[1])}; });
  row(cases, "matmul", "16 x 128x64 by 64x128", {{{16, 128, 64}}, {{16, 64, 128}}},
      [](const Tensors& in) -> Tensors { return {matmul(in[0], in[1])}; });
  const Sizes image = {64, 32, 16, 16}, kernel = {64, 32, 3, 3}, output = {64, 64, 16, 16};
  ConvAttrs attrs{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
  Build padded = [](const Tensors& in) -> Tensors {
    return {conv(in[0], in[1], {}, {.padding = {1}})};
  };
  row(cases, "conv", "64x3x32x32, 32 kernels 3x3", {{{64, 3, 32, 32}}, {{32, 3, 3, 3}}}, padded);
  row(cases, "conv", "64x32x16x16, 64 kernels 3x3", {{image}, {kernel}}, padded);
  row(cases, "conv_input_gradient", "64x32x16x16, 64 kernels 3x3", {{output}, {kernel}},
      [=](const Tensors& in) -> Tensors {
        return {conv_input_gradient(in[0], in[1], Shape(image), attrs)};
      });
  row(cases, "conv_weight_gradient", "64x32x16x16, 64 kernels 3x3", {{image}, {output}},
      [=](const Tensors& in) -> Tensors {
        return {conv_weight_gradient(in[0], in[1], Shape(kernel), attrs)};
      });
}

// The gradient of build's first output by all its inputs, for a gradient that follows them.
Build gradient_of(Build build) {
  return [build = std::move(build)](const Tensors& in) -> Tensors {
    Tensors wrt(in.begin(), in.end() - 1);
    return grad(Tensors{build(wrt)[0]}, {in.back()}, wrt);
  };
}

// The op on its inputs, and its gradient's op with the output's gradient behind them.
void add_both(PerfCases& cases, const char* op, const char* gradient, const char* name,
              std::vector<Input> inputs, Sizes output, const Build& build) {
  row(cases, op, name, inputs, build);
  inputs.push_back({std::move(output)});
  row(cases, gradient, name, inputs, gradient_of(build));
}

void add_pools_and_norms(PerfCases& cases) {
  const Sizes image = {64, 32, 32, 32}, pooled = {64, 32, 16, 16}, channels = {32};
  add_both(cases, "max_pool", "max_pool_gradient", "64x32x32x32 by 2", {{image}}, pooled,
           [](const Tensors& in) -> Tensors { return {max_pool2d(in[0], 2)}; });
  add_both(cases, "avg_pool", "avg_pool_gradient", "64x32x32x32 by 2", {{image}}, pooled,
           [](const Tensors& in) -> Tensors { return {avg_pool2d(in[0], 2)}; });
  add_both(cases, "batch_norm", "batch_norm_gradient", "64x32x32x32",
           {{image}, {channels}, {channels}}, image,
           [](const Tensors& in) -> Tensors { return {batch_norm(in[0], in[1], in[2], 1e-5).y}; });
  row(cases, "batch_norm_inference", "64x32x32x32",
      {{image}, {channels}, {channels, 0.5, 2}, {channels}, {channels}},
      [](const Tensors& in) -> Tensors {
        return {batch_norm_inference(in[0], in[1], in[2], in[3], in[4], 1e-5)};
      });
  const Sizes rows = {2048, 512}, last = {512};
  add_both(cases, "layer_norm", "layer_norm_gradient", "2048 rows of 512", {{rows}, {last}, {last}},
           rows, [last](const Tensors& in) -> Tensors {
             return {layer_norm(in[0], last, in[1], in[2], 1e-5)};
           });
  add_both(cases, "rms_norm", "rms_norm_gradient", "2048 rows of 512", {{rows}, {last}}, rows,
           [last](const Tensors& in) -> Tensors { return {rms_norm(in[0], last, in[1], 1e-5)}; });
  row(cases, "softmax", "1024 rows of 1024", {{million}},
      [](const Tensors& in) -> Tensors { return {softmax(in[0], 1)}; });
  row(cases, "log_softmax", "1024 rows of 1024", {{million}},
      [](const Tensors& in) -> Tensors { return {log_softmax(in[0], 1)}; });
  Input classes = indices({1024}, 1000);
  Build loss = [](const Tensors& in) -> Tensors { return {cross_entropy(in[0], in[1])}; };
  row(cases, "cross_entropy", "1024 of 1000 classes", {{{1024, 1000}}, classes}, loss);
  row(cases, "cross_entropy_gradient", "1024 of 1000 classes", {{{1024, 1000}}, classes},
      [loss](const Tensors& in) -> Tensors { return grad(loss(in)[0], {in[0]}); });
}

void add_indices(PerfCases& cases) {
  row(cases, "iota", "1M elements", {},
      [](const Tensors&) -> Tensors { return {iota(Shape(million), 1, DType::f32)}; });
  row(cases, "gather", "4096 of 10000x128", {{{10000, 128}}, indices({4096}, 10000)},
      [](const Tensors& in) -> Tensors { return {gather(in[0], in[1])}; });
  row(cases, "scatter_add", "4096 into 10000x128",
      {{{10000, 128}}, indices({4096}, 10000), {{4096, 128}}},
      [](const Tensors& in) -> Tensors { return {scatter_add(in[0], in[1], in[2])}; });
  row(cases, "gather_elements", "1M of 1024x1024", {{million}, indices(million, 1024)},
      [](const Tensors& in) -> Tensors { return {gather_elements(in[0], in[1], 1)}; });
  row(cases, "scatter_elements", "1M into 1024x1024, added",
      {{million}, indices(million, 1024), {million}}, [](const Tensors& in) -> Tensors {
        return {scatter_elements(in[0], in[1], in[2], 1, true)};
      });
  row(cases, "sort", "1024 rows of 1024", {{million}},
      [](const Tensors& in) -> Tensors { return {sort(in[0]).values}; });
  row(cases, "random_uniform", "1M elements", {},
      [](const Tensors&) -> Tensors { return {random_uniform(Shape(million))}; });
  row(cases, "random_normal", "1M elements", {},
      [](const Tensors&) -> Tensors { return {random_normal(Shape(million))}; });
}

void add_control_flow(PerfCases& cases) {
  row(cases, "scan", "64 steps of 64x256", {{{64, 256}}, {{64, 64, 256}}},
      [](const Tensors& in) -> Tensors {
        return scan(
                   [](const Tensors& c, const Tensors& xs) -> ScanStep {
                     return {{tanh(c[0] + xs[0])}, {}};
                   },
                   {in[0]}, {in[1]})
            .carries;
      });
  row(cases, "while_loop", "64 steps of 64x256", {{{64, 256}}}, [](const Tensors& in) -> Tensors {
    Tensor one = scalar_like(in[0], 1), limit = scalar_like(in[0], 64);
    return while_loop([&](const Tensors& s) { return less(s[1], limit); },
                      [&](const Tensors& s) -> Tensors {
                        return {tanh(s[0]), s[1] + one};
                      },
                      {in[0], scalar_like(in[0], 0)});
  });
  row(cases, "if_else", "1M elements", {{million}, {{}, 0, 2, Fill::index, DType::boolean}},
      [](const Tensors& in) -> Tensors {
        return if_else(
            in[1], [&]() -> Tensors { return {tanh(in[0])}; },
            [&]() -> Tensors { return {in[0] + in[0]}; });
      });
}

void add_sequences(PerfCases& cases) {
  const Sizes heads = {16, 8, 128, 32};
  const Sizes long_heads = {1, 8, 2048, 64};
  for (const auto& [name, sizes] : {std::pair{"16x8 heads, 128 of width 32", heads},
                                    std::pair{"8 heads, 2048 of width 64", long_heads}}) {
    add_both(cases, "scaled_dot_product_attention", "scaled_dot_product_attention_gradient", name,
             {{sizes}, {sizes}, {sizes}}, sizes, [](const Tensors& in) -> Tensors {
               return {scaled_dot_product_attention(in[0], in[1], in[2])};
             });
  }
  constexpr int64_t time = 64, batch = 32, features = 128, hidden = 128;
  // Inputs: x, four weights, a state.
  auto inputs = [&](int64_t gates) -> std::vector<Input> {
    int64_t rows = gates * hidden;
    return {{{time, batch, features}},
            {{rows, features}, -0.1, 0.1},
            {{rows, hidden}, -0.1, 0.1},
            {{rows}},
            {{rows}},
            {{batch, hidden}}};
  };
  auto weights = [](const Tensors& in) { return RecurrentWeights{in[1], in[2], in[3], in[4]}; };
  const Sizes outputs = {time, batch, hidden};
  const char* name = "64 steps, 32x128, 128 hidden";
  row(cases, "rnn", name, inputs(1), [weights](const Tensors& in) -> Tensors {
    return {rnn(in[0], weights(in), in[5], {}).outputs};
  });
  add_both(cases, "lstm", "lstm_gradient", name, inputs(4), outputs,
           [weights](const Tensors& in) -> Tensors {
             return {lstm(in[0], weights(in), in[5], in[5], {}).outputs};
           });
  add_both(cases, "gru", "gru_gradient", name, inputs(3), outputs,
           [weights](const Tensors& in) -> Tensors {
             return {gru(in[0], weights(in), in[5], {}).outputs};
           });
}
}  // namespace

std::vector<OpCase> perf_cases() {
  PerfCases cases;
  add_elementwise(cases);
  add_shapes(cases);
  add_reductions(cases);
  add_contractions(cases);
  add_pools_and_norms(cases);
  add_indices(cases);
  add_control_flow(cases);
  add_sequences(cases);
  return cases;
}

}  // namespace wafer::op_tests
