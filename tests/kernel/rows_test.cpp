#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/text.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/loss.h"
#include "wafer/op/norm.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"
#include "wafer/op/softmax.h"
#include "wafer/runtime/device.h"
#include "wafer/runtime/registry.h"

// Softmax, losses and normalisation of the cpu device against the reference, at sizes that take
// every path: several threads, rows shorter than a vector and longer than a block.
namespace wafer {
namespace {

using Build = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

std::vector<std::vector<double>> run_on(const std::string& name, const Graph& graph,
                                        const std::vector<std::vector<std::byte>>& data,
                                        bool* whole, const OpDef* op) {
  auto where = device(name);
  auto artifact = where->target().compile(graph, {});
  if (whole) {
    *whole = std::any_of(artifact->steps.begin(), artifact->steps.end(),
                         [&](const StepInfo& step) { return step.op == op->name; });
  }
  std::vector<std::shared_ptr<Storage>> inputs;
  for (const auto& bytes : data) {
    inputs.push_back(where->allocate(bytes.size()));
    where->copy_from_host(bytes.data(), *inputs.back(), bytes.size());
  }
  std::vector<std::vector<double>> results;
  auto outputs = execute(*where, *artifact, inputs);
  where->synchronize();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Type& type = graph.outputs[i].type();
    std::vector<std::byte> bytes(type.bytes());
    where->copy_to_host(*outputs[i], bytes.data(), bytes.size());
    std::vector<double> values;
    visit(type.dtype, [&]<class T>(std::type_identity<T>) {
      auto* from = reinterpret_cast<const T*>(bytes.data());
      for (int64_t k = 0; k < type.elements(); ++k) values.push_back(static_cast<double>(from[k]));
    });
    results.push_back(values);
  }
  return results;
}

// Inputs of dtype i64 get classes below `classes`, all others numbers around `centre`.
void compare(const OpDef& op, const std::vector<Type>& types, const Build& build, double tolerance,
             int64_t classes = 10, double centre = 0) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal(centre, 1.0);
  std::uniform_int_distribution<int64_t> index(0, classes - 1);
  Graph graph;
  std::vector<std::vector<std::byte>> data;
  for (const Type& type : types) {
    graph.inputs.push_back(make_input(type, "x"));
    std::vector<std::byte> bytes(type.bytes());
    visit(type.dtype, [&]<class T>(std::type_identity<T>) {
      auto* to = reinterpret_cast<T*>(bytes.data());
      for (int64_t k = 0; k < type.elements(); ++k)
        to[k] = type.dtype == DType::i64 ? static_cast<T>(k % 7 == 3 ? -100 : index(random))
                                         : static_cast<T>(normal(random));
    });
    data.push_back(std::move(bytes));
  }
  graph.outputs = build(graph.inputs);
  bool whole = false;
  auto got = run_on("cpu", graph, data, &whole, &op);
  auto expected = run_on("reference", graph, data, nullptr, nullptr);
  EXPECT_TRUE(whole) << op.name << " was decomposed";
  for (size_t o = 0; o < got.size(); ++o) {
    double largest = 1e-3;
    for (double value : expected[o]) largest = std::max(largest, std::abs(value));
    for (size_t i = 0; i < got[o].size(); ++i) {
      ASSERT_NEAR(got[o][i], expected[o][i], tolerance * largest)
          << op.name << " of " << types[0] << " output " << o << " element " << i;
    }
  }
}

double tolerance_of(DType dtype) {
  return dtype == DType::f32 ? 1e-5 : dtype == DType::f16 ? 4e-3 : 3e-2;
}

TEST(Rows, Softmax) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    for (const Shape& shape : {Shape{700, 10}, Shape{3000, 1}, Shape{5, 37, 129}, Shape{3, 20000},
                               Shape{64, 512}, Shape{33}}) {
      compare(
          op::softmax, {{dtype, shape}}, [](const auto& in) { return std::vector{softmax(in[0])}; },
          tolerance_of(dtype));
      compare(
          op::log_softmax, {{dtype, shape}},
          [](const auto& in) { return std::vector{log_softmax(in[0])}; }, tolerance_of(dtype));
    }
  }
}

TEST(Rows, CrossEntropyAndItsGradient) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    for (int64_t classes : {2, 10, 65, 3000}) {
      for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
        auto build = [&](const std::vector<Tensor>& in) {
          auto outputs = make_node(op::cross_entropy, {in[0], in[1]},
                                   CrossEntropyAttrs{reduction == Reduction::mean  ? "mean"
                                                     : reduction == Reduction::sum ? "sum"
                                                                                   : "none"});
          Tensor g = reduction == Reduction::none ? in[2] : reshape(in[3], Shape{});
          Tensor gradient = make(op::cross_entropy_gradient, {g, in[0], in[1], outputs[1]},
                                 outputs[0].node().attrs);
          return std::vector{outputs[0], outputs[1], gradient};
        };
        std::vector<Type> types = {
            {dtype, {150, classes}}, {DType::i64, {150}}, {dtype, {150}}, {dtype, {1}}};
        compare(op::cross_entropy, types, build, tolerance_of(dtype), classes);
        compare(op::cross_entropy_gradient, types, build, tolerance_of(dtype), classes);
      }
    }
  }
}

TEST(Rows, ATargetThatIsNoClassIsAnError) {
  Tensor x = make_input({DType::f32, {2, 3}}, "x"), t = make_input({DType::i64, {2}}, "t");
  Graph graph{{x, t}, {cross_entropy(x, t)}, {}};
  std::vector<std::vector<std::byte>> data = {std::vector<std::byte>(24),
                                              std::vector<std::byte>(16)};
  reinterpret_cast<int64_t*>(data[1].data())[1] = 3;
  std::string error = tests::message_of([&] { run_on("cpu", graph, data, nullptr, nullptr); });
  EXPECT_TRUE(tests::contains(error, "target 3 at position 1"));
}

TEST(Rows, LayerAndRmsNormalisation) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    for (const Shape& shape : {Shape{3000, 7}, Shape{16, 128, 256}, Shape{5, 1}, Shape{3, 30000}}) {
      Shape last{shape.size(-1)};
      double tolerance = tolerance_of(dtype);
      compare(
          op::layer_norm, {{dtype, shape}, {dtype, last}, {dtype, last}},
          [&](const auto& in) {
            return make_node(op::layer_norm, in, LayerNormAttrs{1, 1e-5});
          },
          tolerance, 10, 3);
      compare(
          op::rms_norm, {{dtype, shape}, {dtype, last}},
          [&](const auto& in) {
            return make_node(op::rms_norm, in, LayerNormAttrs{1, 1e-5});
          },
          tolerance);
      compare(
          op::layer_norm_gradient, {{dtype, shape}, {dtype, shape}, {dtype, last}},
          [&](const auto& in) {
            auto y = make_node(op::layer_norm, {in[0], in[2], in[2]}, LayerNormAttrs{1, 1e-1});
            return make_node(op::layer_norm_gradient, {in[1], in[0], y[1], y[2], in[2]},
                             LayerNormAttrs{1, 1e-1});
          },
          tolerance * 4);
      compare(
          op::rms_norm_gradient, {{dtype, shape}, {dtype, shape}, {dtype, last}},
          [&](const auto& in) {
            auto y = make_node(op::rms_norm, {in[0], in[2]}, LayerNormAttrs{1, 1e-1});
            return make_node(op::rms_norm_gradient, {in[1], in[0], y[1], in[2]},
                             LayerNormAttrs{1, 1e-1});
          },
          tolerance * 4);
    }
  }
}

TEST(Rows, BatchNormalisation) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    for (const Shape& shape : {Shape{300, 17}, Shape{4, 3, 100, 70}, Shape{2, 65, 9, 9},
                               Shape{64, 5, 3}, Shape{2, 1, 3, 3}}) {
      Shape channels{shape.size(1)};
      for (bool after_relu : {false, true}) {
        // A pool makes its neighbours channels-last; relu keeps whatever layout there is.
        compare(
            op::batch_norm, {{dtype, shape}, {dtype, channels}, {dtype, channels}},
            [&](const auto& in) {
              Tensor x = after_relu ? maximum(in[0], 0.5) : in[0];
              return make_node(op::batch_norm, {x, in[1], in[2]}, BatchNormAttrs{});
            },
            tolerance_of(dtype), 10, 2);
        compare(
            op::batch_norm_gradient, {{dtype, shape}, {dtype, shape}, {dtype, channels}},
            [&](const auto& in) {
              auto y = make_node(op::batch_norm, {in[0], in[2], in[2]}, BatchNormAttrs{});
              return make_node(op::batch_norm_gradient, {in[1], in[0], in[2], y[1], y[2]},
                               BatchNormAttrs{});
            },
            tolerance_of(dtype) * 4);
      }
    }
  }
}

}  // namespace
}  // namespace wafer
