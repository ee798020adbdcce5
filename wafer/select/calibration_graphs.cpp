#include "wafer/select/calibration_graphs.h"

#include "wafer/nn/nn.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/loss.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/op/softmax.h"
#include "wafer/optim/optimizer.h"
#include "wafer/pass/precision.h"
#include "wafer/select/work.h"
#include "wafer/train/step.h"

namespace wafer::select {

namespace {
Tensor real(const Shape& shape, const std::string& name = "x") {
  return make_input({DType::f32, shape}, name);
}

Graph graph_of(std::vector<Tensor> inputs, std::vector<Tensor> outputs) {
  Graph graph;
  graph.inputs = std::move(inputs);
  graph.outputs = std::move(outputs);
  return graph;
}

// ---- train steps of small models ----

Graph train_step(nn::UnaryModule& module, const Type& input, const Type& target) {
  module.set_name("probe");
  LossFunction loss = [](const Tensor& output, const Tensor& labels) {
    return cross_entropy(output, labels);
  };
  Objective objective{&module, [&module](const Tensor& x) { return module(x); }, loss, true};
  return train_step_graph(objective, optim::Adam(), {}, input, target);
}

Type labels(int64_t batch) {
  return {DType::i64, Shape{batch}};
}

Graph convolutional(int64_t batch, int64_t size, int64_t first, int64_t second, int64_t hidden) {
  nn::Sequential net;
  net.append<nn::Conv2d>(nn::ConvLayerOptions{.in = 3, .out = first, .kernel = 3, .padding = 1})
      .append<nn::ReLU>()
      .append<nn::MaxPool2d>(nn::PoolLayerOptions{.kernel = 2})
      .append<nn::Conv2d>(
          nn::ConvLayerOptions{.in = first, .out = second, .kernel = 3, .padding = 1})
      .append<nn::ReLU>()
      .append<nn::MaxPool2d>(nn::PoolLayerOptions{.kernel = 2})
      .append<nn::Flatten>()
      .append<nn::Linear>(second * (size / 4) * (size / 4), hidden)
      .append<nn::ReLU>()
      .append<nn::Linear>(hidden, 10);
  return train_step(net, {DType::f32, Shape{batch, 3, size, size}}, labels(batch));
}

Graph perceptron(int64_t batch, const std::vector<int64_t>& widths) {
  nn::Sequential net;
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    net.append<nn::Linear>(widths[i], widths[i + 1]);
    if (i + 2 < widths.size()) net.append<nn::ReLU>();
  }
  return train_step(net, {DType::f32, Shape{batch, widths[0]}}, labels(batch));
}

// Mean over time, so that the classifier sees all of it.
struct MeanOverTime : nn::UnaryModule {
  Tensor forward(const Tensor& x) override { return mean(x, {1}); }
};

Graph recurrent(int64_t batch, int64_t length, int64_t features, int64_t hidden, bool lstm) {
  nn::Sequential net;
  nn::RecurrentLayerOptions options{.batch_first = true};
  if (lstm) {
    net.append<nn::LSTM>(features, hidden, options);
  } else {
    net.append<nn::GRU>(features, hidden, options);
  }
  net.append<MeanOverTime>().append<nn::Linear>(hidden, 10);
  return train_step(net, {DType::f32, Shape{batch, length, features}}, labels(batch));
}

Graph transformer(int64_t batch, int64_t length, int64_t width, int64_t heads, double dropout) {
  nn::Sequential net;
  nn::TransformerEncoderLayerOptions options{.feedforward = 4 * width,
                                             .dropout = dropout,
                                             .activation = "gelu",
                                             .norm_first = true,
                                             .batch_first = true,
                                             .causal = true};
  net.append<nn::Embedding>(64, width)
      .append<nn::TransformerEncoderLayer>(width, heads, options)
      .append<MeanOverTime>()
      .append<nn::Linear>(width, 10);
  return train_step(net, {DType::i64, Shape{batch, length}}, labels(batch));
}

// ---- single ops ----

Graph products() {
  struct Product {
    int64_t batch, rows, columns, inner;
    bool transpose_a, transpose_b;
  };
  constexpr Product list[] = {
      {1, 8, 8, 8, false, false},       {1, 64, 64, 64, false, true},
      {1, 64, 256, 64, false, true},    {1, 64, 512, 784, false, true},
      {1, 512, 784, 64, true, false},   {1, 64, 784, 512, false, false},
      {1, 64, 1024, 1024, false, true}, {1, 1024, 512, 64, true, false},
      {1, 256, 256, 256, false, false}, {1, 512, 512, 512, false, true},
      {1, 2048, 128, 128, false, true}, {1, 128, 128, 2048, true, false},
      {1, 2048, 512, 128, false, true}, {1, 1, 512, 512, false, true},
      {32, 64, 64, 32, false, true},    {32, 64, 32, 64, false, false},
      {32, 64, 32, 64, true, false},    {1, 4096, 64, 64, false, true},
  };
  Graph graph;
  for (const Product& p : list) {
    Shape a = p.transpose_a ? Shape{p.batch, p.inner, p.rows} : Shape{p.batch, p.rows, p.inner};
    Shape b =
        p.transpose_b ? Shape{p.batch, p.columns, p.inner} : Shape{p.batch, p.inner, p.columns};
    if (p.batch == 1) {
      a = Shape({a[1], a[2]});
      b = Shape({b[1], b[2]});
    }
    Tensor x = real(a), y = real(b);
    graph.inputs.insert(graph.inputs.end(), {x, y});
    graph.outputs.push_back(matmul(x, y, p.transpose_a, p.transpose_b));
  }
  return graph;
}

Graph reductions() {
  Tensor square = real(Shape{512, 512}), image = real(Shape{16, 32, 16, 16}),
         wide = real(Shape{64, 4096});
  Tensor small = real(Shape{64, 64});
  return graph_of({square, image, wide, small},
                  {reduce_sum(square, {1}), reduce_sum(square, {0}), reduce_sum(square),
                   reduce_max(square, {1}), reduce_sum(image, {0, 2, 3}), reduce_sum(image, {2, 3}),
                   reduce_sum(wide, {0}), reduce_sum(wide, {1}), reduce_sum(small, {0}),
                   reduce_sum(small, {1}), reduce_max(small, {1}), reduce_sum(small),
                   argmax(small, -1), softmax(square), softmax(small)});
}

Graph movements() {
  Tensor a = real(Shape{512, 512}), b = real(Shape{32, 64, 4, 32}), c = real(Shape{64, 64});
  return graph_of(
      {a, b, c}, {transpose(a, {1, 0}), transpose(b, {0, 2, 1, 3}), transpose(c, {1, 0}),
                  narrow(a, 1, 0, 256), narrow(c, 1, 0, 32), concat({a, a}, 0), concat({c, c}, 1)});
}

// Chains as optimisers and activations have them, from small to larger than caches.
Graph chains() {
  Graph graph;
  for (int64_t elements : {64, 4096, 65536, 524288, 2097152}) {
    Tensor a = real(Shape{elements}), b = real(Shape{elements}), c = real(Shape{elements});
    graph.inputs.insert(graph.inputs.end(), {a, b, c});
    Tensor moved = 0.9 * b + 0.1 * a;
    graph.outputs.insert(graph.outputs.end(), {moved, c - moved / (sqrt(a * a) + 1e-8)});
    if (elements <= 65536) graph.outputs.push_back(tanh(a + b) * (1.0 / (1.0 + exp(-c))));
  }
  return graph;
}
}  // namespace

Graph identity_graph() {
  Tensor x = real(Shape{1});
  return graph_of({x}, {reshape(x, Shape{1, 1})});
}

Graph smallest_step_graph() {
  Tensor x = real(Shape{1});
  return graph_of({x}, {exp(x)});
}

Graph scan_graph(int64_t length) {
  Tensor x = real(Shape{1});
  auto result = scan(
      [](const std::vector<Tensor>& carries, const std::vector<Tensor>&) -> ScanStep {
        return {{exp(carries[0])}, {}};
      },
      {x}, {}, {.length = length, .save_carries = false});
  return graph_of({x}, {result.carries[0]});
}

std::vector<Graph> gauge_graphs(bool bf16) {
  DType dtype = bf16 ? DType::bf16 : DType::f32;
  Tensor a = make_input({dtype, Shape{128, 512}}, "a"),
         b = make_input({dtype, Shape{512, 512}}, "b");
  Tensor w = real(Shape{128, 128}), h = real(Shape{64, 128});
  Tensor y = h;
  for (int i = 0; i < 32; ++i) y = tanh(matmul(y, w));
  return {graph_of({a, b}, {matmul(a, b)}), graph_of({h, w}, {y})};
}

Graph stream_graph(int64_t elements) {
  Tensor a = real(Shape{elements}, "a"), b = real(Shape{elements}, "b");
  Graph graph = graph_of({a, b}, {a + b});
  graph.alias = {0};
  return graph;
}

std::map<std::string, Graph> element_graphs(int64_t elements) {
  Shape shape{elements};
  std::map<std::string, Graph> graphs;
  auto put = [&](const std::vector<Tensor>& inputs, const Tensor& y) {
    graphs.emplace(element_op(y.node()), graph_of(inputs, {y}));
  };
  Tensor a = real(shape), b = real(shape);
  for (auto* unary : {neg, sign, exp, expm1, log, log1p, sin, cos, tan, asin, acos, atan, tanh, erf,
                      floor, ceil, round}) {
    put({a}, unary(a));
  }
  using Binary = Tensor (*)(const Tensor&, const Tensor&);
  for (Binary binary : {Binary(pow), Binary(remainder), Binary(equal), Binary(not_equal),
                        Binary(less), Binary(less_equal)}) {
    put({a, b}, binary(a, b));
  }
  // Arithmetic comes in groups, where it takes a fraction of the time that it takes alone.
  constexpr int in_a_row = 4;
  for (auto* unary : {abs, sqrt}) {
    Tensor y = a;
    for (int i = 0; i < in_a_row; ++i) y = unary(y);
    put({a}, y);
  }
  for (Binary binary :
       {Binary(add), Binary(sub), Binary(mul), Binary(div), Binary(maximum), Binary(minimum)}) {
    Tensor y = a;
    for (int i = 0; i < in_a_row; ++i) y = binary(y, b);
    put({a, b}, y);
  }
  Tensor i = make_input({DType::i64, shape}, "i"), j = make_input({DType::i64, shape}, "j");
  for (Binary binary : {Binary(add), Binary(mul), Binary(equal), Binary(less)})
    put({i, j}, binary(i, j));
  put({i}, cast(i, DType::f32));
  put({a}, cast(a, DType::i64));
  put({a}, cast(a, DType::bf16));
  Tensor half = make_input({DType::bf16, shape}, "half");
  put({half}, cast(half, DType::f32));
  Tensor p = make_input({DType::boolean, shape}, "p"), q = make_input({DType::boolean, shape}, "q");
  put({p, q}, logical_and(p, q));
  put({p, q}, logical_or(p, q));
  put({p}, logical_not(p));
  put({p}, cast(p, DType::f32));
  put({p, a, b}, where(p, a, b));
  return graphs;
}

std::vector<Graph> calibration_graphs(bool bf16) {
  const Graph computing[] = {convolutional(16, 16, 16, 32, 64),
                             perceptron(64, {784, 256, 10}),
                             products(),
                             recurrent(32, 8, 40, 64, false),
                             transformer(8, 64, 64, 2, 0.0),
                             recurrent(32, 8, 40, 64, true),
                             transformer(16, 64, 128, 4, 0.1),
                             convolutional(32, 32, 32, 64, 128),
                             perceptron(16, {64, 32, 10})};
  // The same work in both precisions.
  std::vector<Graph> graphs{chains(), reductions(), movements()};
  for (const Graph& graph : computing) {
    graphs.push_back(graph);
    if (bf16) graphs.push_back(apply_precision(graph, Precision::bf16));
  }
  return graphs;
}

}  // namespace wafer::select
