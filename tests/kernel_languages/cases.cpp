#include "tests/kernel_languages/cases.h"

#include <gtest/gtest.h>

#include <random>

#include "wafer/backend/cpu/fused.h"
#include "wafer/op/activation.h"
#include "wafer/op/layout.h"

namespace wafer::testing {

namespace {
constexpr DType every_dtype[] = {DType::f64, DType::f32, DType::f16,    DType::bf16, DType::i64,
                                 DType::i32, DType::i16, DType::i8,     DType::u64,  DType::u32,
                                 DType::u16, DType::u8,  DType::boolean};
constexpr DType few_dtypes[] = {DType::f32, DType::bf16, DType::f16, DType::i32, DType::boolean};

class Maker {
 public:
  explicit Maker(bool few) {
    dtypes_ = few ? std::vector<DType>(std::begin(few_dtypes), std::end(few_dtypes))
                  : std::vector<DType>(std::begin(every_dtype), std::end(every_dtype));
  }

  std::vector<Case> run() {
    for (DType dtype : dtypes_) ops(dtype);
    for (DType from : dtypes_) {
      for (DType to : dtypes_) {
        Tensor x = input(from, shape_);
        if (from != to) add(str("cast_", from, "_", to), {x}, {cast(x, to)}, -300, 300);
      }
    }
    groups();
    return std::move(cases_);
  }

 private:
  static Tensor input(DType dtype, const Shape& shape) { return make_input({dtype, shape}, "x"); }

  void ops(DType dtype) {
    Tensor a = input(dtype, shape_), b = input(dtype, shape_);
    Tensor p = input(DType::boolean, shape_);
    auto put = [&](const char* name, const std::vector<Tensor>& in, const Tensor& y, double low,
                   double high,
                   bool exact = true) { add(str(name, "_", dtype), in, {y}, low, high, exact); };
    put("where", {p, a, b}, where(p, a, b), -50, 50);
    put("equal", {a, b}, equal(a, b), -3, 3);
    put("not_equal", {a, b}, not_equal(a, b), -3, 3);
    put("less", {a, b}, less(a, b), -3, 3);
    put("less_equal", {a, b}, less_equal(a, b), -3, 3);
    put("maximum", {a, b}, maximum(a, b), -50, 50);
    put("minimum", {a, b}, minimum(a, b), -50, 50);
    if (dtype == DType::boolean) {
      put("and", {a, b}, logical_and(a, b), 0, 1);
      put("or", {a, b}, logical_or(a, b), 0, 1);
      put("xor", {a, b}, logical_xor(a, b), 0, 1);
      put("not", {a}, logical_not(a), 0, 1);
      return;
    }
    put("add", {a, b}, a + b, -90, 90);
    put("sub", {a, b}, a - b, -90, 90);
    put("mul", {a, b}, a * b, -90, 90);
    put("div", {a, b}, a / b, -90, 90);
    put("remainder", {a, b}, remainder(a, b), -90, 90);
    put("neg", {a}, neg(a), -90, 90);
    put("abs", {a}, abs(a), -90, 90);
    put("sign", {a}, sign(a), -2, 2);
    put("pow", {a, b}, pow(a, b), 0, 4, !is_floating(dtype));
    if (!is_floating(dtype)) return;
    struct Unary {
      const char* name;
      Tensor (*make)(const Tensor&);
      double low, high;
      bool exact;
    };
    for (const Unary& unary : std::initializer_list<Unary>{{"exp", exp, -5, 5, false},
                                                           {"expm1", expm1, -2, 2, false},
                                                           {"log", log, 0.01, 9, false},
                                                           {"log1p", log1p, -0.9, 9, false},
                                                           {"sqrt", sqrt, 0, 9, false},
                                                           {"sin", sin, -7, 7, false},
                                                           {"cos", cos, -7, 7, false},
                                                           {"tan", tan, -1.2, 1.2, false},
                                                           {"asin", asin, -1, 1, false},
                                                           {"acos", acos, -1, 1, false},
                                                           {"atan", atan, -7, 7, false},
                                                           {"tanh", tanh, -4, 4, false},
                                                           {"erf", erf, -3, 3, false},
                                                           {"floor", floor, -9, 9, true},
                                                           {"ceil", ceil, -9, 9, true},
                                                           {"round", round, -9, 9, true}}) {
      put(unary.name, {a}, unary.make(a), unary.low, unary.high, unary.exact);
    }
  }

  void groups() {
    Shape shape{6, 5, 7};
    Tensor x = input(DType::f32, shape), y = input(DType::f32, {5, 1});
    Tensor z = input(DType::f32, {6, 1, 7}), s = input(DType::f32, {});
    add("broadcasts", {x, y, z, s}, {x * y + z, where(less(x, y + z), x * s, maximum(x, z))}, -2, 2,
        false);
    add("gelu", {x}, {gelu(x)}, -4, 4, false);
    Tensor p = input(DType::f32, shape), m = input(DType::f32, shape), v = input(DType::f32, shape);
    Tensor m2 = m * 0.9 + x * 0.1, v2 = v * 0.999 + x * x * 0.001;
    add("adam", {p, x, m, v, s}, {p - s * m2 / (sqrt(v2 * v2) + 1e-3), m2, v2}, 0.5, 2, false);
    Tensor h = input(DType::bf16, shape), w = input(DType::bf16, {7});
    add("bf16_group", {h, w}, {h * w + h, cast(h * w, DType::f32)}, -3, 3, false);
    Tensor e = input(DType::f32, {3, 0, 2}), one = input(DType::f32, {});
    add("empty", {e}, {exp(e)}, -1, 1);
    add("one_element", {one}, {one * 2.0 + 1.0}, -1, 1);
  }

  void add(const std::string& name, const std::vector<Tensor>& inputs,
           const std::vector<Tensor>& outputs, double low, double high, bool exact = true) {
    auto group = std::make_shared<Graph>(Graph{inputs, outputs, {}});
    Case made{.name = name, .exact = exact};
    std::vector<Tensor> arguments;
    for (const Tensor& input : inputs) {
      made.input_types.push_back(input.type());
      arguments.push_back(make_input(input.type(), "argument"));
      std::uniform_real_distribution<double> uniform(is_unsigned(input.dtype()) ? 0 : low, high);
      Values values(static_cast<size_t>(input.elements()));
      for (double& value : values) {
        value = uniform(random_);
        if (input.dtype() == DType::i8) value = std::fmod(value, 100);
        if (input.dtype() == DType::boolean) value = value > (low + high) / 2;
        if (is_integer(input.dtype())) value = std::trunc(value);
      }
      if (is_floating(input.dtype()) && exact && values.size() > 4) {
        values[0] = NAN, values[1] = INFINITY, values[2] = -INFINITY, values[3] = -0.0;
      }
      made.inputs.push_back(to_memory(values, input.type()));
    }
    const Tensor fused = fuse(group, arguments)[0];
    made.program = kernel::build_program(fused.node());
    made.output_types = fused.node().outputs;
    made.expected = run_step(fused.node(), made.inputs, cpu::elementwise_step);
    cases_.push_back(std::move(made));
  }

  static bool is_unsigned(DType dtype) {
    return dtype == DType::u64 || dtype == DType::u32 || dtype == DType::u16 || dtype == DType::u8;
  }

  Shape shape_{3, 13};
  std::vector<DType> dtypes_;
  std::vector<Case> cases_;
  std::mt19937 random_{7};
};
}  // namespace

std::vector<Case> make_cases(bool few) {
  return Maker(few).run();
}

std::vector<kernel::PrintedKernel> print_all(const std::vector<Case>& cases) {
  std::vector<kernel::PrintedKernel> kernels;
  for (const Case& a_case : cases)
    kernels.push_back(kernel::print_kernel(a_case.program, "kernel_" + a_case.name));
  return kernels;
}

std::string whole_source(const std::vector<kernel::PrintedKernel>& kernels,
                         const kernel::Dialect& dialect) {
  std::string source = kernel::print_prelude(dialect, true);
  for (const auto& kernel : kernels) source += "\n" + kernel.source;
  return source;
}

void expect_outputs(const Case& a_case, const std::vector<Bytes>& outputs) {
  ASSERT_EQ(outputs.size(), a_case.expected.size()) << a_case.name;
  for (size_t o = 0; o < outputs.size(); ++o) {
    const Type& type = a_case.output_types[o];
    Values got = from_memory(outputs[o], type);
    Values expected = from_memory(a_case.expected[o], type);
    double unit = type.dtype == DType::bf16  ? 1e-2
                  : type.dtype == DType::f16 ? 2e-3
                  : type.dtype == DType::f64 ? 1e-12
                                             : 4e-6;
    for (size_t i = 0; i < got.size(); ++i) {
      if (std::isnan(expected[i]) && std::isnan(got[i])) continue;
      if (got[i] == expected[i]) continue;
      double allowed = a_case.exact ? 0 : unit * (1 + std::abs(expected[i]));
      ASSERT_LE(std::abs(got[i] - expected[i]), allowed)
          << a_case.name << ", output " << o << ", element " << i << ": " << got[i] << ", expected "
          << expected[i] << "\n"
          << kernel::print_kernel(a_case.program, "it").source;
    }
  }
}

}  // namespace wafer::testing
