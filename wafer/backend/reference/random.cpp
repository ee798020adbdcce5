#include "wafer/op/random.h"

#include "wafer/backend/reference/array.h"
#include "wafer/base/philox.h"

namespace wafer::reference {

namespace {

// Element i of the stream at (seed, step), as op/random.h defines it, through fn(upper 24 bits).
Step generator(const Node& node, double (*fn)(uint32_t)) {
  auto stream = static_cast<uint64_t>(node.attr<RandomAttrs>().stream);
  Reader<uint64_t> key(node.inputs[0].type());
  Writer<double> y(node.outputs[0]);
  return [=](const StepArgs& args) {
    uint64_t seed = key.get(args.in[0], {0}), step = key.get(args.in[0], {1});
    auto word = [](uint64_t value, int shift) { return static_cast<uint32_t>(value >> shift); };
    uint64_t element = 0;
    Philox::Block block{};
    for_each(y.sizes, [&](const Coordinates& at) {
      if (element % 4 == 0) {
        block = Philox::generate(
            {word(element / 4, 0), word(step, 0), word(stream, 0), word(stream, 32)},
            {word(seed, 0), word(seed, 32)});
      }
      y.set(args.out[0], at, fn(block[element % 4] >> 8));
      ++element;
    });
  };
}

// Giles, "Approximating the erfinv function" (2010), table 5: single precision.
double inverse_erf(double x) {
  double w = -std::log((1 - x) * (1 + x));
  double p;
  if (w < 5) {
    w -= 2.5;
    p = 2.81022636e-08;
    p = 3.43273939e-07 + p * w;
    p = -3.5233877e-06 + p * w;
    p = -4.39150654e-06 + p * w;
    p = 0.00021858087 + p * w;
    p = -0.00125372503 + p * w;
    p = -0.00417768164 + p * w;
    p = 0.246640727 + p * w;
    p = 1.50140941 + p * w;
  } else {
    w = std::sqrt(w) - 3;
    p = -0.000200214257;
    p = 0.000100950558 + p * w;
    p = 0.00134934322 + p * w;
    p = -0.00367342844 + p * w;
    p = 0.00573950773 + p * w;
    p = -0.0076224613 + p * w;
    p = 0.00943887047 + p * w;
    p = 1.00167406 + p * w;
    p = 2.83297682 + p * w;
  }
  return p * x;
}

}  // namespace

WAFER_KERNEL(random_uniform) {
  return generator(node, [](uint32_t bits) { return bits * 0x1p-24; });
}
WAFER_KERNEL(random_normal) {
  return generator(node, [](uint32_t bits) {
    double u = (bits + 0.5) * 0x1p-24;
    return std::sqrt(2.0) * inverse_erf(2 * u - 1);
  });
}

}  // namespace wafer::reference
