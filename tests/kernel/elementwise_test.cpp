#include <gtest/gtest.h>

#include "tests/kernel/helpers.h"
#include "wafer/base/threads.h"
#include "wafer/op/layout.h"

namespace wafer {
namespace {

using namespace wafer::testing;

Values random_values(size_t count, std::mt19937& random, double low, double high) {
  std::uniform_real_distribution<double> uniform(low, high);
  Values values(count);
  for (double& value : values) value = static_cast<float>(uniform(random));
  return values;
}

// Units in the last place of f32 between a result and the exact value. Denormals may be flushed.
double ulps(float got, double exact) {
  if (std::isnan(got) || std::isnan(exact)) return std::isnan(got) && std::isnan(exact) ? 0 : 1e9;
  auto nearest = static_cast<float>(exact);
  if (std::isinf(got) || std::isinf(nearest)) return got == nearest ? 0 : 1e9;
  double unit = std::nextafter(std::abs(nearest), INFINITY) - std::abs(nearest);
  if (std::abs(exact) < 1.2e-38) return std::abs(got - exact) < 1.2e-38 ? 0 : 1e9;
  return std::abs(got - exact) / unit;
}

// Runs the group as one `fused` node and compares with the evaluation in double.
void check_group(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs,
                 std::mt19937& random, double low, double high, double tolerance) {
  auto group = std::make_shared<Graph>(Graph{inputs, outputs, {}});
  std::vector<Tensor> arguments;
  for (const Tensor& input : inputs) arguments.push_back(make_input(input.type(), "argument"));
  std::vector<Tensor> fused_outputs = fuse(group, arguments);
  const Node& node = fused_outputs[0].node();
  Evaluator evaluator;
  std::vector<Bytes> memory;
  for (const Tensor& input : inputs) {
    Values values = random_values(static_cast<size_t>(input.elements()), random, low, high);
    memory.push_back(to_memory(values, input.type()));
    evaluator.bind(input, from_memory(memory.back(), input.type()));
  }
  std::vector<Bytes> results = run_step(node, memory, cpu::elementwise_step);
  for (size_t o = 0; o < outputs.size(); ++o) {
    Values got = from_memory(results[o], node.outputs[o]);
    const Values& expected = evaluator.of(outputs[o]);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], expected[i], tolerance * (1 + std::abs(expected[i])))
          << "output " << o << " element " << i << " of " << node.outputs[o] << "\n"
          << print(kernel::build_program(node));
    }
  }
}

TEST(Elementwise, RandomShapesAndBroadcasts) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> rank_of(0, 5), size_of(1, 13), coin(0, 2);
  for (int round = 0; round < 200; ++round) {
    std::vector<int64_t> sizes;
    int rank = rank_of(random);
    for (int d = 0; d < rank; ++d) sizes.push_back(size_of(random));
    auto narrow = [&] {
      std::vector<int64_t> part(sizes.begin() + (sizes.empty() ? 0 : coin(random) == 0),
                                sizes.end());
      for (int64_t& size : part) size = coin(random) == 0 ? 1 : size;
      return make_input({DType::f32, Shape(part)}, "x");
    };
    Tensor full = make_input({DType::f32, Shape(sizes)}, "full");
    Tensor a = narrow(), b = narrow(), c = narrow();
    Tensor p = full * a + b;
    Tensor q = where(less(p, c), tanh(p), (maximum(full, b) - c) * a);
    if (!(p.shape() == q.shape())) continue;
    check_group({full, a, b, c}, {p, q}, random, -2, 2, 1e-5);
  }
}

// Parts of wider inputs: rows that blocks make up, rows that they do not, and every other element.
TEST(Elementwise, Slices) {
  std::mt19937 random(9);
  for (int64_t rows : {1, 3, 40}) {
    for (int64_t columns : {1, 13, 128, 256, 384, 1024}) {
      Tensor wide = make_input({DType::f32, {rows, 2 * columns + 5}}, "wide");
      Tensor tall = make_input({DType::f32, {2 * rows + 1, columns}}, "tall");
      Tensor half = make_input({DType::bf16, {rows, columns + 3}}, "half");
      Tensor a = narrow(wide, 1, 5, columns + 5), b = narrow(wide, 1, 1, 2 * columns + 1, 2);
      Tensor c = narrow(tall, 0, rows, 2 * rows), d = narrow(tall, 0, 1, 2);
      Tensor e = cast(narrow(half, 1, 2, columns + 2), DType::f32);
      check_group({wide, tall, half}, {a * b + c, (c - d) * e}, random, -2, 2, 1e-5);
    }
  }
}

TEST(Elementwise, EmptyAndOneElement) {
  std::mt19937 random(2);
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{0}, Shape{3, 0, 2}, Shape{1, 1, 1}}) {
    Tensor x = make_input({DType::f32, shape}, "x");
    Tensor s = make_input({DType::f32, {}}, "s");
    check_group({x, s}, {exp(x) * s + 1.0}, random, -1, 1, 1e-6);
  }
}

// Updates in place that a condition for the whole group guards, as a train step's are: where it
// holds the new values are computed straight into the old ones' memory.
TEST(Elementwise, GuardedUpdatesInPlace) {
  for (int64_t size : {1, 17, 600, 5000}) {
    for (DType gradient : {DType::f32, DType::bf16}) {
      Type type{DType::f32, Shape{size}};
      Tensor p = make_input(type, "p"), m = make_input(type, "m");
      Tensor g = make_input({gradient, Shape{size}}, "g");
      Tensor ok = make_input({DType::boolean, Shape{}}, "ok");
      Tensor m2 = m * 0.5 + cast(g, DType::f32), p2 = p - m2 / (abs(m2) + 1.0);
      Tensor new_p = where(ok, p2, p);
      // The third output reads p after its new value is made, the last the new value.
      Graph group{
          {p, m, g, ok}, {new_p, where(ok, m2, m), where(ok, p2 + p, p), new_p * 2.0 + m2}, {}};
      std::vector<Type> inputs = {type, type, g.type(), ok.type()}, outputs(4, type);
      kernel::Program program = kernel::build_program(group, inputs, outputs);
      for (int variant = 0; variant < 4; ++variant) {
        bool holds = variant % 2 != 0;
        auto count = static_cast<size_t>(size);
        std::vector<float> parameter(count), moment(count), sum(count), twice(count);
        Values wide(count);
        for (size_t i = 0; i < count; ++i) {
          parameter[i] = static_cast<float>(i % 13) - 5;
          moment[i] = static_cast<float>(i % 7) * 0.5f;
          wide[i] = static_cast<double>(i % 5) - 2;
        }
        std::vector<float> old_parameter = parameter, old_moment = moment;
        Bytes gradients = to_memory(wide, g.type());
        auto flag = static_cast<uint8_t>(holds);
        void* in[] = {parameter.data(), moment.data(), gradients.data(), &flag};
        void* out[] = {parameter.data(), moment.data(), sum.data(), twice.data()};
        cpu::program_step(program, variant >= 2).run({in, out, nullptr});
        for (size_t i = 0; i < count; ++i) {
          float made = old_moment[i] * 0.5f + static_cast<float>(wide[i]);
          float next = old_parameter[i] - made / (std::abs(made) + 1);
          float now = holds ? next : old_parameter[i];
          ASSERT_NEAR(parameter[i], now, 1e-5) << i << " of " << size;
          ASSERT_NEAR(moment[i], holds ? made : old_moment[i], 1e-5) << i << " of " << size;
          ASSERT_NEAR(sum[i], holds ? next + old_parameter[i] : old_parameter[i], 1e-5) << i;
          ASSERT_NEAR(twice[i], 2 * now + made, 1e-5) << i;
        }
      }
    }
  }
}

TEST(Elementwise, ChannelsLastAndMixedLayouts) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    std::uniform_int_distribution<int64_t> size(1, 9);
    Shape shape{size(random), size(random), size(random), size(random)};
    Type last{DType::f32, shape, Layout::channels_last}, rows{DType::f32, shape};
    Tensor x = make_input(last, "x"), y = make_input(rows, "y");
    Tensor bias = make_input({DType::f32, {shape.size(1), 1, 1}}, "bias");
    // The output has the first input's layout.
    Tensor sum = x * y + bias;
    Type out{DType::f32, shape, Layout::channels_last};
    Graph graph{{x, y, bias}, {sum}, {}};
    kernel::Program program = kernel::build_program(graph, {last, rows, bias.type()}, {out});
    Values a = random_values(static_cast<size_t>(shape.elements()), random, -1, 1);
    Values b = random_values(a.size(), random, -1, 1);
    Values c = random_values(static_cast<size_t>(shape.size(1)), random, -1, 1);
    Bytes am = to_memory(a, last), bm = to_memory(b, rows), cm = to_memory(c, bias.type());
    Bytes result(out.bytes() + 1);
    void* in[] = {am.data(), bm.data(), cm.data()};
    void* outputs[] = {result.data()};
    cpu::program_step(program).run({in, outputs, nullptr});
    Evaluator evaluator;
    evaluator.bind(x, a), evaluator.bind(y, b), evaluator.bind(bias, c);
    Values got = from_memory(result, out);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], evaluator.of(sum)[i], 1e-6);
  }
}

TEST(Elementwise, LargeGroupsRunOnAllThreads) {
  std::mt19937 random(4);
  for (int threads : {1, 2, 5}) {
    ThreadCountScope scope(threads);
    Tensor x = make_input({DType::f32, {301, 1001}}, "x");
    Tensor b = make_input({DType::f32, {1001}}, "b");
    Tensor rows = make_input({DType::f32, {301, 1}}, "rows");
    Tensor wide = make_input({DType::f32, {}}, "s");
    check_group({x, b, rows, wide}, {(x + b) * wide - rows, exp(x - rows)}, random, -1, 1, 1e-5);
  }
}

TEST(Elementwise, HalfPrecisionRoundsOnce) {
  std::mt19937 random(5);
  for (DType dtype : {DType::f16, DType::bf16}) {
    Tensor x = make_input({dtype, {37, 11}}, "x"), y = make_input({dtype, {11}}, "y");
    check_group({x, y}, {x * y + x}, random, -2, 2, dtype == DType::f16 ? 6e-4 : 5e-3);
    Tensor wide = cast(x, DType::f32);
    check_group({x}, {cast(cast(wide * 1.5, dtype), DType::f32)}, random, -2, 2, 5e-3);
  }
}

TEST(Elementwise, HalfFormatsConvertLikeTheStorageTypes) {
  std::mt19937 random(6);
  std::vector<float> values = {0.0f,     -0.0f,    1e-8f,     6e-8f, 3e-5f,  65504.0f, 65519.9f,
                               65520.0f, INFINITY, -INFINITY, NAN,   1e-40f, 3.4e38f};
  std::uniform_int_distribution<uint32_t> word;
  while (values.size() < 5003) values.push_back(std::bit_cast<float>(word(random)));
  for (DType dtype : {DType::f16, DType::bf16}) {
    Tensor x = make_input({DType::f32, {static_cast<int64_t>(values.size())}}, "x");
    Tensor y = cast(x, dtype);
    Bytes in(values.size() * 4);
    std::memcpy(in.data(), values.data(), in.size());
    Bytes got = run_step(y.node(), {in}, cpu::elementwise_step)[0];
    Tensor back = cast(make_input(y.type(), "y"), DType::f32);
    Bytes wide = run_step(back.node(), {got}, cpu::elementwise_step)[0];
    for (size_t i = 0; i < values.size(); ++i) {
      float expected = dtype == DType::f16 ? float(Float16(values[i])) : float(BFloat16(values[i]));
      float result = reinterpret_cast<const float*>(wide.data())[i];
      if (std::isnan(expected))
        ASSERT_TRUE(std::isnan(result)) << values[i];
      else
        ASSERT_EQ(std::bit_cast<uint32_t>(result), std::bit_cast<uint32_t>(expected)) << values[i];
    }
  }
}

struct Function {
  const char* name;
  Tensor (*build)(const Tensor&);
  double (*exact)(double);
  double low, high, limit;  // limit in ulp
};

class FunctionTest : public ::testing::TestWithParam<Function> {};

TEST_P(FunctionTest, IsAccurate) {
  const Function& function = GetParam();
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform(function.low, function.high), unit(-1, 1);
  std::vector<float> values = {0.0f,     -0.0f,     1.0f, -1.0f,  1e-10f, -1e-10f,
                               INFINITY, -INFINITY, NAN,  1e-37f, 3e38f,  -3e38f};
  while (values.size() < 40000) values.push_back(static_cast<float>(uniform(random)));
  while (values.size() < 60000)
    values.push_back(static_cast<float>(std::pow(10.0, 8 * unit(random) - 4) * unit(random)));
  Tensor x = make_input({DType::f32, {static_cast<int64_t>(values.size())}}, "x");
  Tensor y = function.build(x);
  Bytes in(values.size() * 4);
  std::memcpy(in.data(), values.data(), in.size());
  Bytes out = run_step(y.node(), {in}, cpu::elementwise_step)[0];
  double worst = 0;
  float where = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    float got = reinterpret_cast<const float*>(out.data())[i];
    double distance = ulps(got, function.exact(values[i]));
    if (distance > worst) worst = distance, where = values[i];
  }
  RecordProperty("ulp", std::to_string(worst));
  EXPECT_LE(worst, function.limit) << function.name << " at " << where;
}

TEST(Elementwise, ErfAndTanhEndAtOne) {
  std::vector<float> values = {3.92f, 3.93f, 3.94f, 4.0f, 9.01f, 9.02f, 9.1f, 1e6f, INFINITY};
  Tensor x = make_input({DType::f32, {static_cast<int64_t>(values.size())}}, "x");
  Bytes in(values.size() * 4);
  for (float sign : {1.0f, -1.0f}) {
    for (size_t i = 0; i < values.size(); ++i)
      reinterpret_cast<float*>(in.data())[i] = sign * values[i];
    Bytes of_erf = run_step(erf(x).node(), {in}, cpu::elementwise_step)[0];
    Bytes of_tanh = run_step(tanh(x).node(), {in}, cpu::elementwise_step)[0];
    for (size_t i = 0; i < values.size(); ++i) {
      float e = sign * reinterpret_cast<const float*>(of_erf.data())[i];
      float t = sign * reinterpret_cast<const float*>(of_tanh.data())[i];
      EXPECT_LE(e, 1.0f);
      EXPECT_LE(t, 1.0f);
      EXPECT_EQ(e < 1.0f && values[i] > 3.93f, false) << values[i];
      EXPECT_EQ(t < 1.0f && values[i] > 9.02f, false) << values[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(F32, FunctionTest,
                         ::testing::Values(Function{"exp", exp, std::exp, -104, 89, 2},
                                           Function{"expm1", expm1, std::expm1, -20, 89, 3},
                                           Function{"log", log, std::log, 0, 100, 2},
                                           Function{"log1p", log1p, std::log1p, -0.99, 3, 3},
                                           Function{"sqrt", sqrt, std::sqrt, 0, 1e6, 0.51},
                                           Function{"sin", sin, std::sin, -100, 100, 2},
                                           Function{"cos", cos, std::cos, -100, 100, 2},
                                           Function{"tan", tan, std::tan, -10, 10, 4},
                                           Function{"asin", asin, std::asin, -1, 1, 2},
                                           Function{"acos", acos, std::acos, -1, 1, 2},
                                           Function{"atan", atan, std::atan, -10, 10, 2},
                                           Function{"tanh", tanh, std::tanh, -10, 10, 5},
                                           Function{"erf", erf, std::erf, -4, 4, 6}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Elementwise, EveryOpOnF64AndIntegersAgreesWithDouble) {
  std::mt19937 random(8);
  using Unary = Tensor (*)(const Tensor&);
  for (Unary op : {Unary(neg), Unary(abs), Unary(sign), Unary(exp), Unary(log1p), Unary(sqrt),
                   Unary(sin), Unary(tanh), Unary(erf), Unary(floor), Unary(ceil), Unary(round)}) {
    Tensor x = make_input({DType::f64, {29}}, "x");
    check_group({x}, {op(x)}, random, 0.1, 3, 1e-14);
  }
  using Binary = Tensor (*)(const Tensor&, const Tensor&);
  for (DType dtype : {DType::f64, DType::f32, DType::i64, DType::i32, DType::i16, DType::i8,
                      DType::u64, DType::u32, DType::u16, DType::u8}) {
    for (Binary op :
         {Binary(add), Binary(sub), Binary(mul), Binary(pow), Binary(remainder), Binary(maximum),
          Binary(minimum), Binary(equal), Binary(not_equal), Binary(less), Binary(less_equal)}) {
      Tensor x = make_input({dtype, {7, 9}}, "x"), y = make_input({dtype, {9}}, "y");
      // x >= y >= 1 keeps unsigned differences in range.
      check_group({x, y}, {op(maximum(x, y), y)}, random, 1, 3.99, 1e-5);
    }
  }
}

TEST(Elementwise, IntegersWrapAndDivisionByZeroGivesZero) {
  Tensor x = make_input({DType::i8, {4}}, "x"), y = make_input({DType::i8, {4}}, "y");
  auto run = [&](const Tensor& result) {
    Bytes a = to_memory({-128, 127, 100, 7}, x.type()), b = to_memory({-1, 1, 0, -2}, y.type());
    return from_memory(run_step(result.node(), {a, b}, cpu::elementwise_step)[0], result.type());
  };
  EXPECT_EQ(run(make(op::add, {x, y})), (Values{127, -128, 100, 5}));
  EXPECT_EQ(run(make(op::div, {x, y})), (Values{-128, 127, 0, -3}));
  EXPECT_EQ(run(make(op::remainder, {x, y})), (Values{0, 0, 0, -1}));
}

TEST(Elementwise, CastsSaturate) {
  Tensor x = make_input({DType::f32, {5}}, "x");
  Bytes in = to_memory({-1e10, 300.7, NAN, -3.9, 1e30}, x.type());
  auto run = [&](DType dtype) {
    Tensor y = cast(x, dtype);
    return from_memory(run_step(y.node(), {in}, cpu::elementwise_step)[0], y.type());
  };
  EXPECT_EQ(run(DType::i8), (Values{-128, 127, 0, -3, 127}));
  EXPECT_EQ(run(DType::u8), (Values{0, 255, 0, 0, 255}));
  EXPECT_EQ(run(DType::i32), (Values{-2147483648.0, 300, 0, -3, 2147483647}));
  EXPECT_EQ(run(DType::boolean), (Values{1, 1, 1, 1, 1}));
}

// One step of Adam with every output in the memory of an input.
TEST(Elementwise, OutputsMayReplaceInputs) {
  std::mt19937 random(9);
  Type type{DType::f32, {1777}};
  Tensor p = make_input(type, "p"), g = make_input(type, "g"), m = make_input(type, "m"),
         v = make_input(type, "v"), rate = make_input({DType::f32, {}}, "rate");
  Tensor m2 = m * 0.9 + g * 0.1, v2 = v * 0.999 + g * g * 0.001;
  Tensor p2 = p - rate * m2 / (sqrt(v2) + 1e-8);
  std::vector<Tensor> inputs = {p, g, m, v, rate};
  // In every order, so that some outputs are written while their input is still needed.
  std::vector<std::pair<Tensor, size_t>> places = {{m2, 2}, {v2, 3}, {p2, 0}};
  std::sort(places.begin(), places.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  for (int round = 0; round < 2; ++round) {
    Graph graph{inputs, {}, {}};
    for (auto& [output, place] : places) graph.outputs.push_back(output);
    std::vector<Type> in_types, out_types(3, type);
    for (const Tensor& input : inputs) in_types.push_back(input.type());
    Evaluator evaluator;
    std::vector<Bytes> memory;
    for (const Tensor& input : inputs) {
      Values values = random_values(static_cast<size_t>(input.elements()), random, 0.01, 1);
      memory.push_back(to_memory(values, input.type()));
      evaluator.bind(input, values);
    }
    std::vector<void*> in, out;
    for (Bytes& bytes : memory) in.push_back(bytes.data());
    for (auto& [output, place] : places) out.push_back(memory[place].data());
    cpu::program_step(kernel::build_program(graph, in_types, out_types))
        .run({in.data(), out.data(), nullptr});
    for (auto& [output, place] : places) {
      Values got = from_memory(memory[place], type);
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], evaluator.of(output)[i], 1e-5) << place << " " << i;
    }
    // The second round swaps two inputs by their outputs.
    std::swap(places[0].second, places[1].second);
  }
}

}  // namespace
}  // namespace wafer
