#include "tests/op/cases.h"
#include "wafer/op/conv.h"
#include "wafer/tensor/grad.h"

namespace wafer::op_tests {

namespace {
struct Geometry {
  const char* name;
  Sizes x, weight;
  ConvOptions options;
};

const std::vector<Geometry>& geometries() {
  static const std::vector<Geometry> list = {
      {"1d", {2, 3, 9}, {4, 3, 3}, {}},
      {"1d strided, padded, dilated",
       {2, 2, 11},
       {3, 2, 3},
       {.stride = {2}, .padding = {2}, .dilation = {2}}},
      {"2d", {2, 3, 6, 5}, {4, 3, 3, 3}, {.padding = {1}}},
      {"2d of one channel, 1x1 kernel", {1, 1, 4, 3}, {2, 1, 1, 1}, {}},
      {"2d strided", {1, 2, 7, 8}, {3, 2, 3, 2}, {.stride = {2, 3}, .padding = {1, 0}}},
      {"2d dilated", {1, 2, 9, 8}, {2, 2, 3, 3}, {.padding = {2}, .dilation = {2, 3}}},
      {"2d in groups", {2, 4, 5, 5}, {6, 2, 3, 3}, {.padding = {1}, .groups = 2}},
      {"2d depthwise", {1, 3, 5, 4}, {6, 1, 3, 3}, {.stride = {2}, .padding = {1}, .groups = 3}},
      {"2d padded on one side", {1, 2, 5, 5}, {2, 2, 2, 2}, {.padding = {0}, .padding_high = {1}}},
      {"2d, stride leaves a rest", {1, 1, 6, 6}, {1, 1, 2, 2}, {.stride = {4}}},
      {"2d of 16 channels", {1, 16, 6, 6}, {16, 16, 3, 3}, {.padding = {1}}},
      {"2d with kernel as large as the input", {2, 3, 4, 4}, {5, 3, 4, 4}, {}},
      {"3d", {1, 2, 4, 5, 3}, {3, 2, 2, 3, 2}, {.stride = {1, 2, 1}, .padding = {1, 1, 0}}},
      {"2d of no images", {0, 2, 5, 5}, {3, 2, 3, 3}, {}},
  };
  return list;
}
}  // namespace

std::vector<OpCase> conv_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  auto add = [&](const char* op, std::string name, std::vector<Input> inputs, Build build,
                 bool large) {
    cases.push_back({.op = op,
                     .name = std::move(name),
                     .inputs = std::move(inputs),
                     .build = std::move(build),
                     .dtypes = floats(),
                     .grad = !large,  // finite differences of every weight would take long
                     .tolerance = 32,
                     .of_largest = true,
                     .magnitude = 4});
  };
  for (const Geometry& g : geometries()) {
    bool large = g.weight[0] * g.weight[1] > 200;
    ConvOptions o = g.options;
    add(
        "conv", g.name, {{g.x}, {g.weight}, {{g.weight[0]}}},
        [o](const Tensors& in) -> Tensors { return {conv(in[0], in[1], in[2], o)}; }, large);
    // The gradients as functions of their own, through the gradient of conv: d<conv(x, w), g>.
    Sizes y =
        Shape(conv(Tensor::from_values(
                       std::vector<double>(static_cast<size_t>(Shape(g.x).elements())), Shape(g.x)),
                   Tensor::from_values(
                       std::vector<double>(static_cast<size_t>(Shape(g.weight).elements())),
                       Shape(g.weight)),
                   {}, o)
                  .shape())
            .sizes();
    add(
        "conv_input_gradient", g.name, {{y}, {g.weight}, {g.x}},
        [o](const Tensors& in) -> Tensors {
          return grad(Tensors{conv(in[2], in[1], {}, o)}, {in[0]}, {in[2]});
        },
        large);
    add(
        "conv_weight_gradient", g.name, {{g.x}, {y}, {g.weight}},
        [o](const Tensors& in) -> Tensors {
          return grad(Tensors{conv(in[0], in[2], {}, o)}, {in[1]}, {in[2]});
        },
        large);
  }
  struct Transposed {
    const char* name;
    Sizes x, weight;
    ConvOptions options;
    Sizes output_padding;
  };
  for (const Transposed& t : std::vector<Transposed>{
           {"transposed 1d", {2, 3, 5}, {3, 2, 4}, {.stride = {2}, .padding = {1}}, {0}},
           {"transposed 2d",
            {1, 4, 3, 4},
            {4, 3, 3, 2},
            {.stride = {2, 3}, .padding = {1, 0}},
            {1, 2}},
           {"transposed 2d in groups",
            {2, 4, 3, 3},
            {4, 3, 3, 3},
            {.dilation = {2}, .groups = 2},
            {0}},
           {"transposed 3d", {1, 2, 2, 3, 2}, {2, 2, 2, 2, 3}, {.stride = {2}}, {0}}}) {
    add(
        "conv_input_gradient", t.name, {{t.x}, {t.weight}, {{t.weight[1] * t.options.groups}}},
        [o = t.options, p = t.output_padding](const Tensors& in) -> Tensors {
          return {conv_transpose(in[0], in[1], in[2], o, p)};
        },
        false);
  }
  return cases;
}

}  // namespace wafer::op_tests
