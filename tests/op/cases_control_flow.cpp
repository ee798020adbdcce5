#include "tests/op/cases.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/reduce.h"

namespace wafer::op_tests {

std::vector<OpCase> control_flow_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  auto add = [&](const char* op, const char* name, std::vector<Input> inputs, Build build,
                 const std::vector<DType>& dtypes) -> OpCase& {
    cases.push_back({.op = op,
                     .name = name,
                     .inputs = std::move(inputs),
                     .build = std::move(build),
                     .dtypes = dtypes,
                     .tolerance = 64,
                     .of_largest = true,
                     .magnitude = 2});
    return cases.back();
  };
  for (bool reverse : {false, true}) {
    // Reads its own carry twice, an element of xs and a captured value.
    add(
        "scan", reverse ? "with a captured value, reverse" : "with a captured value",
        {{{3}}, {{5, 3}}, {{3}}},
        [reverse](const Tensors& in) -> Tensors {
          Tensor factor = in[2];
          ScanResult r = scan(
              [&](const Tensors& carries, const Tensors& xs) -> ScanStep {
                Tensor next = carries[0] * factor * Tensor(0.5f) + xs[0];
                return {{next}, {next * carries[0]}};
              },
              {in[0]}, {in[1]}, {.reverse = reverse});
          return {r.carries[0], r.ys[0]};
        },
        floats());
  }
  add(
      "scan", "of a matrix product, two carries swapped", {{{2, 3}}, {{2, 3}}, {{3, 3}, -0.6, 0.6}},
      [](const Tensors& in) -> Tensors {
        Tensor weight = in[2];
        ScanResult r = scan(
            [&](const Tensors& c, const Tensors&) -> ScanStep {
              return {{c[1], tanh(matmul(c[0], weight))}, {}};
            },
            {in[0], in[1]}, {}, {.length = 4});
        return r.carries;
      },
      floats());
  add(
      "scan", "of no steps", {{{3}}, {{0, 3}}},
      [](const Tensors& in) -> Tensors {
        ScanResult r = scan(
            [](const Tensors& c, const Tensors& xs) -> ScanStep {
              return {{c[0] + xs[0]}, {c[0]}};
            },
            {in[0]}, {in[1]});
        return {r.carries[0], r.ys[0]};
      },
      numbers());
  add(
      "scan", "without saved carries", {{{3}}, {{4, 3}}},
      [](const Tensors& in) -> Tensors {
        ScanResult r = scan(
            [](const Tensors& c, const Tensors& xs) -> ScanStep {
              return {{sin(c[0]) + xs[0]}, {}};
            },
            {in[0]}, {in[1]}, {.save_carries = false});
        return r.carries;
      },
      floats());
  add(
      "scan", "of booleans",
      {{{3}, 0, 2, Fill::index, DType::boolean}, {{4, 3}, 0, 2, Fill::index, DType::boolean}},
      [](const Tensors& in) -> Tensors {
        ScanResult r = scan(
            [](const Tensors& c, const Tensors& xs) -> ScanStep {
              return {{logical_xor(c[0], xs[0])}, {c[0]}};
            },
            {in[0]}, {in[1]});
        return {r.carries[0], r.ys[0]};
      },
      only(DType::boolean))
      .grad = false;

  // Doubles until one is large: a number of steps that depends on the values.
  add(
      "while_loop", "until a limit", {{{3}, 1, 2}},
      [](const Tensors& in) -> Tensors {
        Tensor one = scalar_like(in[0], 1), limit = scalar_like(in[0], 40);
        return while_loop([&](const Tensors& s) { return less(reduce_max(s[0]), limit); },
                          [&](const Tensors& s) -> Tensors {
                            return {s[0] + s[0] + one, s[1] + one};
                          },
                          {abs(in[0]), scalar_like(in[0], 0)});
      },
      numbers())
      .grad = false;
  for (const Sizes& sizes : {Sizes{2, 2}, Sizes{2, 0}}) {
    add(
        "while_loop", sizes[1] > 0 ? "never entered" : "of nothing", {{sizes}},
        [](const Tensors& in) -> Tensors {
          return while_loop([](const Tensors& s) { return reduce_any(not_equal(s[0], s[0])); },
                            [](const Tensors& s) -> Tensors { return {s[0]}; }, {in[0]});
        },
        all_dtypes())
        .grad = false;
  }

  for (bool taken : {true, false}) {
    for (int64_t size : {3, 0}) {
      const char* name = size == 0 ? "of nothing" : taken ? "first branch" : "second branch";
      add(
          "if_else", name,
          {{{size}},
           {{size}},
           {{}, taken ? 1.0 : 0.0, taken ? 2.0 : 1.0, Fill::index, DType::boolean}},
          [](const Tensors& in) -> Tensors {
            return if_else(
                in[2],
                [&]() -> Tensors {
                  return {in[0] * in[1], in[0]};
                },
                [&]() -> Tensors {
                  return {in[0] + in[1], in[1]};
                });
          },
          all_dtypes());
    }
  }
  return cases;
}

}  // namespace wafer::op_tests
