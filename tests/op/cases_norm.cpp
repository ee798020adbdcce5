#include "tests/op/cases.h"
#include "wafer/op/norm.h"
#include "wafer/tensor/grad.h"

namespace wafer::op_tests {

namespace {
// Of the data's size: keeps f16 away from division by almost nothing.
constexpr double norm_epsilon = 0.1;
}  // namespace

std::vector<OpCase> norm_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  auto add = [&](const char* op, std::string name, std::vector<Input> inputs, Build build) {
    cases.push_back({.op = op,
                     .name = std::move(name),
                     .inputs = std::move(inputs),
                     .build = std::move(build),
                     .dtypes = floats(),
                     .tolerance = 64,
                     .of_largest = true,
                     .magnitude = 2});
  };
  for (const Sizes& sizes :
       {Sizes{6, 3}, Sizes{4, 2, 5}, Sizes{3, 4, 2, 5}, Sizes{2, 17, 3, 3}, Sizes{3, 0, 4}}) {
    Sizes channels = {sizes[1]};
    std::vector<Input> inputs = {{sizes}, {channels, 0.5, 2}, {channels}};
    Build norm = [](const Tensors& in) -> Tensors {
      BatchNormResult r = batch_norm(in[0], in[1], in[2], norm_epsilon);
      return {r.y, r.mean, r.variance, r.unbiased_variance};
    };
    add("batch_norm", text(sizes), inputs, norm);
    add("batch_norm", text(sizes) + " without weight", {{sizes}},
        [](const Tensors& in) -> Tensors { return {batch_norm(in[0], {}, {}, norm_epsilon).y}; });
    inputs.push_back({sizes});
    add("batch_norm_gradient", text(sizes), inputs, [norm](const Tensors& in) -> Tensors {
      return grad(Tensors{norm(in)[0]}, {in[3]}, {in[0], in[1], in[2]});
    });
    add("batch_norm_inference", text(sizes),
        {{sizes}, {channels}, {channels, 0.5, 2}, {channels, 0.5, 2}, {channels}},
        [](const Tensors& in) -> Tensors {
          return {batch_norm_inference(in[0], in[1], in[2], in[3], in[4], norm_epsilon)};
        });
    if (sizes[1] > 0 && sizes[1] % 2 == 0) {
      add("layer_norm", "group_norm " + text(sizes), {{sizes}, {channels, 0.5, 2}, {channels}},
          [](const Tensors& in) -> Tensors {
            return {group_norm(in[0], 2, in[1], in[2], norm_epsilon)};
          });
    }
  }
  for (const auto& [sizes, last] : std::vector<std::pair<Sizes, Sizes>>{{{4, 7}, {7}},
                                                                        {{2, 3, 5}, {3, 5}},
                                                                        {{2, 3, 33}, {33}},
                                                                        {{9}, {9}},
                                                                        {{3, 1}, {1}},
                                                                        {{0, 4}, {4}}}) {
    std::string name = text(sizes) + " over " + text(last);
    std::vector<Input> both = {{sizes}, {last, 0.5, 2}, {last}}, one = {{sizes}, {last, 0.5, 2}};
    Build layer = [last = last](const Tensors& in) -> Tensors {
      return {layer_norm(in[0], last, in[1], in[2], norm_epsilon)};
    };
    Build plain = [last = last](const Tensors& in) -> Tensors {
      return {layer_norm(in[0], last, {}, {}, norm_epsilon)};
    };
    Build rms = [last = last](const Tensors& in) -> Tensors {
      return {rms_norm(in[0], last, in[1], norm_epsilon)};
    };
    Build plain_rms = [last = last](const Tensors& in) -> Tensors {
      return {rms_norm(in[0], last, {}, norm_epsilon)};
    };
    add("layer_norm", name, both, layer);
    add("layer_norm", name + " without weight", {{sizes}}, plain);
    add("rms_norm", name, one, rms);
    add("rms_norm", name + " without weight", {{sizes}}, plain_rms);
    both.push_back({sizes});
    one.push_back({sizes});
    add("layer_norm_gradient", name, both, [layer](const Tensors& in) -> Tensors {
      return grad(layer(in), {in[3]}, {in[0], in[1], in[2]});
    });
    add("layer_norm_gradient", name + " without weight", {{sizes}, {sizes}},
        [plain](const Tensors& in) -> Tensors { return grad(plain(in), {in[1]}, {in[0]}); });
    add("rms_norm_gradient", name, one, [rms](const Tensors& in) -> Tensors {
      return grad(rms(in), {in[2]}, {in[0], in[1]});
    });
    add("rms_norm_gradient", name + " without weight", {{sizes}, {sizes}},
        [plain_rms](const Tensors& in) -> Tensors {
          return grad(plain_rms(in), {in[1]}, {in[0]});
        });
  }
  return cases;
}

}  // namespace wafer::op_tests
