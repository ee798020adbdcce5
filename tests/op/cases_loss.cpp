#include "tests/op/cases.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/loss.h"
#include "wafer/op/softmax.h"
#include "wafer/tensor/grad.h"

namespace wafer::op_tests {

std::vector<OpCase> loss_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  auto add = [&](const char* op, std::string name, std::vector<Input> inputs,
                 Build build) -> OpCase& {
    cases.push_back({.op = op,
                     .name = std::move(name),
                     .inputs = std::move(inputs),
                     .build = std::move(build),
                     .dtypes = floats(),
                     .tolerance = 32,
                     .of_largest = true,
                     .magnitude = 2});
    return cases.back();
  };
  struct Case {
    const char* name;
    Sizes logits, targets;
    CrossEntropyOptions options;
    bool weighted;
  };
  for (const Case& k :
       std::vector<Case>{{"mean", {5, 4}, {5}, {}, false},
                         {"sum of 11 classes", {3, 11}, {3}, {.reduction = Reduction::sum}, false},
                         {"none", {4, 3}, {4}, {.reduction = Reduction::none}, false},
                         {"images", {2, 3, 4, 2}, {2, 4, 2}, {}, false},
                         {"one sample", {6}, {}, {}, false},
                         {"weighted", {6, 4}, {6}, {}, true},
                         {"smoothed", {5, 4}, {5}, {.label_smoothing = 0.1}, false},
                         {"smoothed and weighted", {5, 4}, {5}, {.label_smoothing = 0.2}, true},
                         {"one class ignored",
                          {8, 3},
                          {8},
                          {.ignore_index = 1, .reduction = Reduction::sum},
                          false},
                         {"all at once",
                          {9, 4},
                          {9},
                          {.ignore_index = 2, .label_smoothing = 0.1, .reduction = Reduction::none},
                          true},
                         {"one class", {3, 1}, {3}, {}, false},
                         {"no samples", {0, 3}, {0}, {.reduction = Reduction::sum}, false}}) {
    auto classes = static_cast<double>(k.logits[k.logits.size() > 1 ? 1 : 0]);
    for (DType dtype : {DType::i64, DType::i32}) {
      std::vector<Input> inputs = {{k.logits}, {k.targets, 0, classes, Fill::index, dtype}};
      // A factor of the loss: its gradient.
      if (k.weighted) inputs.push_back({{static_cast<int64_t>(classes)}, 0.5, 2});
      Build loss = [o = k.options](const Tensors& in) -> Tensors {
        CrossEntropyOptions options = o;
        // A class's weight is a constant of the loss.
        if (in.size() > 2) options.weight = in[2];
        return {cross_entropy(in[0], in[1], options)};
      };
      std::string name = str(k.name, ", targets of ", dtype);
      if (k.weighted) {
        // Differentiated by the logits alone: weights are not differentiable.
        add("cross_entropy", name, inputs, loss).grad = false;
      } else {
        add("cross_entropy", name, inputs, loss);
      }
      add("cross_entropy_gradient", name, inputs, [loss](const Tensors& in) -> Tensors {
        Tensor value = loss(in)[0];
        return grad(Tensors{value}, {cast(Tensor(0.75), value.dtype()) + value * 0.0}, {in[0]});
      }).grad = !k.weighted;
    }
  }
  add("cross_entropy", "targets are probabilities", {{{4, 5}}, {{4, 5}, 0, 0.4}},
      [](const Tensors& in) -> Tensors {
        return {cross_entropy(in[0], in[1]), cross_entropy(in[0], in[1], {.label_smoothing = 0.1})};
      });
  add("gather_elements", "nll_loss", {{{5, 4}}, {{5}, 0, 4, Fill::index, DType::i64}},
      [](const Tensors& in) -> Tensors { return {nll_loss(log_softmax(in[0], 1), in[1])}; });

  using Loss = std::function<Tensor(const Tensor&, const Tensor&, Reduction)>;
  auto pair = [&](const char* op, const char* name, const Input& second, const Loss& loss) {
    for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
      Input other = second;
      other.sizes = {3, 7};
      add(op, str(name, " ", static_cast<int>(reduction)), {{{3, 7}}, other},
          [loss, reduction](const Tensors& in) -> Tensors {
            return {loss(in[0], in[1], reduction)};
          });
    }
  };
  pair("mul", "mse_loss", {}, mse_loss);
  pair("abs", "l1_loss", {}, l1_loss);
  pair("where", "huber_loss", {},
       [](const Tensor& a, const Tensor& b, Reduction r) { return huber_loss(a, b, 0.7, r); });
  pair("where", "smooth_l1_loss", {},
       [](const Tensor& a, const Tensor& b, Reduction r) { return smooth_l1_loss(a, b, 0.5, r); });
  pair("exp", "bce_with_logits", {{}, 0, 1}, [](const Tensor& a, const Tensor& b, Reduction r) {
    return bce_with_logits(a, b, {.reduction = r});
  });
  pair("log", "kl_div", {{}, 0.1, 1},
       [](const Tensor& a, const Tensor& b, Reduction r) { return kl_div(a, b, r); });
  return cases;
}

}  // namespace wafer::op_tests
