#include "tests/op/cases.h"
#include "wafer/op/reduce.h"

namespace wafer::op_tests {

namespace {
struct Axis {
  Sizes sizes;
  Axes axes;
};
const std::vector<Axis>& axes() {
  static const std::vector<Axis> list = {{{3, 5}, {0}},
                                         {{3, 5}, {1}},
                                         {{3, 5}, {}},
                                         {{2, 3, 4, 5}, {1, 3}},
                                         {{2, 3, 4, 5}, {0, 2, 3}},
                                         {{257}, {0}},
                                         {{7, 33}, {-1}},
                                         {{1}, {0}},
                                         {{4, 1, 3}, {1}},
                                         {{3, 130, 2}, {1}},
                                         {{2, 0}, {0}}};
  return list;
}
}  // namespace

std::vector<OpCase> reduce_cases() {
  std::vector<OpCase> cases;
  using Reduce = Tensor (*)(const Tensor&, const Axes&, bool);
  auto add = [&](const char* op, const char* name, Reduce build, const std::vector<DType>& dtypes,
                 Input range = {}, bool empty = false, double tolerance = 16) {
    std::vector<Axis> list = axes();
    if (empty) list.push_back({{0, 3}, {0}});
    for (const auto& [sizes, over] : list) {
      for (bool keep : {false, true}) {
        Input input = range;
        input.sizes = sizes;
        cases.push_back(
            {.op = op,
             .name = str(name, text(sizes), " over ", over.size(), " from ",
                         over.empty() ? 0 : over[0], keep ? ", kept" : ""),
             .inputs = {input},
             .build = [build, over = over,
                       keep](const auto& in) { return std::vector{build(in[0], over, keep)}; },
             .dtypes = dtypes,
             .tolerance = tolerance,
             .of_largest = true,
             .magnitude = 2});
      }
    }
  };
  add("reduce_sum", "", reduce_sum, all_dtypes(), {}, true);
  add("reduce_sum", "mean ", mean, all_dtypes());
  // About 1, so that products of many stay in range.
  add("reduce_prod", "", reduce_prod, all_dtypes(), {{}, 0.9, 1.1}, true, 128);
  add("reduce_max", "", reduce_max, all_dtypes(), {{}, -2, 2, Fill::separated});
  add("reduce_min", "", reduce_min, all_dtypes(), {{}, -2, 2, Fill::separated});
  add("reduce_sum", "any ", reduce_any, all_dtypes(), {}, true);
  add("reduce_sum", "all ", reduce_all, all_dtypes(), {}, true);
  for (auto& each : cases) {
    if (each.name.starts_with("any") || each.name.starts_with("all")) each.grad = false;
  }
  add("reduce_max", "logsumexp ", logsumexp, floats(), {{}, -2, 2, Fill::separated});
  cases.push_back({.op = "reduce_prod",
                   .name = "with zeros",
                   .inputs = {{{6, 4}, 0, 3, Fill::index}},
                   .build = [](const auto& in) { return std::vector{reduce_prod(in[0], {1})}; },
                   .dtypes = floats(),
                   .second = false});  // its gradient has steps at zero
  for (const auto& [sizes, axis] :
       std::vector<std::pair<Sizes, int64_t>>{{{4, 6}, 1}, {{5, 3, 2}, 0}}) {
    cases.push_back(
        {.op = "reduce_sum",
         .name = "variance " + text(sizes),
         .inputs = {{sizes}},
         .build =
             [axis = axis](const auto& in) {
               return std::vector{variance(in[0], {axis}), variance(in[0], {}, true, 0)};
             },
         .dtypes = floats(),
         .tolerance = 32,
         .of_largest = true,
         .magnitude = 2});
  }

  using Along = Tensor (*)(const Tensor&, int);
  auto along = [&](const char* op, Along build, const Input& range, bool empty, bool grad) {
    for (const auto& [sizes, axis] : std::vector<std::pair<Sizes, int>>{
             {{3, 5}, 0}, {{3, 5}, 1}, {{2, 7, 3}, 1}, {{131}, 0}, {{4, 1}, -1}, {{0, 3}, 1}}) {
      cases.push_back({.op = op,
                       .name = str(text(sizes), " along ", axis),
                       .inputs = {{sizes, range.low, range.high, range.fill}},
                       .build = [build, axis = axis](
                                    const auto& in) { return std::vector{build(in[0], axis)}; },
                       .dtypes = all_dtypes(),
                       .grad = grad,
                       .tolerance = 16,
                       .of_largest = true,
                       .magnitude = 2});
    }
    if (!empty) return;
    cases.push_back(cases.back());
    cases.back().name = "3x0 along 1";
    cases.back().inputs[0].sizes = {3, 0};
    cases.back().build = [build](const auto& in) { return std::vector{build(in[0], 1)}; };
  };
  along("cumsum", cumsum, {}, true, true);
  // Whole numbers too, where the first of equal elements must win.
  for (Fill fill : {Fill::separated, Fill::index}) {
    along(
        "argmax", [](const Tensor& x, int axis) { return argmax(x, axis); }, {{}, -3, 3, fill},
        false, false);
    along(
        "argmin", [](const Tensor& x, int axis) { return argmin(x, axis, true); },
        {{}, -3, 3, fill}, false, false);
  }
  return cases;
}

}  // namespace wafer::op_tests
