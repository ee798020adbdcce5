#include "wafer/op/random.h"

#include "wafer/kernel/device/session.h"
#include "wafer/op/create.h"
#include "wafer/op/op.h"

// Values made of nothing: counts, and random numbers as op/random.h defines them.
namespace wafer::kernel {

namespace {
// p: items, elements, stream. An item is a block of four numbers.
constexpr std::string_view random_source = R"(
WF_FUNCTION void philox(unsigned int* c, unsigned int key0, unsigned int key1) {
  for (int round = 0; round < 10; ++round) {
    WF_U64 low = (WF_U64)0xD2511F53u * c[0], high = (WF_U64)0xCD9E8D57u * c[2];
    c[0] = (unsigned int)(high >> 32) ^ c[1] ^ key0;
    c[1] = (unsigned int)high;
    c[2] = (unsigned int)(low >> 32) ^ c[3] ^ key1;
    c[3] = (unsigned int)low;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}
// Natural logarithm of normal positive numbers: the polynomial of Cephes' logf, within 1 ulp.
WF_FUNCTION float natural_log(float x) {
  int bits = (int)WF_TO_BITS(x), exponent = (bits >> 23) - 126;
  float m = WF_FROM_BITS((unsigned int)((bits & 0x7fffff) | 0x3f000000));
  if (m < 0.70710678f) {
    exponent -= 1;
    m = m + m;
  }
  m -= 1.0f;
  float z = m * m, p = 7.0376836292e-2f, e = (float)exponent;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = m * z * p + e * -2.12194440e-4f - z * 0.5f;
  return m + y + e * 0.693359375f;
}
// sqrt(2) erfinv(2 u - 1), u = (bits + 1/2) 2^-24; Giles (2010), table 5.
WF_FUNCTION float normal_of(unsigned int word) {
  float x = (float)((int)((word >> 8) * 2 + 1) - (1 << 24)) * 0x1p-24f;  // exact
  float w = -natural_log((1.0f - x) * (1.0f + x)), p;
  if (w < 5.0f) {
    w -= 2.5f;
    p = 2.81022636e-08f;
    p = p * w + 3.43273939e-07f;
    p = p * w - 3.5233877e-06f;
    p = p * w - 4.39150654e-06f;
    p = p * w + 0.00021858087f;
    p = p * w - 0.00125372503f;
    p = p * w - 0.00417768164f;
    p = p * w + 0.246640727f;
    p = p * w + 1.50140941f;
  } else {
    w = sqrt(w) - 3.0f;
    p = -0.000200214257f;
    p = p * w + 0.000100950558f;
    p = p * w + 0.00134934322f;
    p = p * w - 0.00367342844f;
    p = p * w + 0.00573950773f;
    p = p * w - 0.0076224613f;
    p = p * w + 0.00943887047f;
    p = p * w + 1.00167406f;
    p = p * w + 2.83297682f;
  }
  return p * x * 1.41421356f;
}
WF_FUNCTION float uniform_of(unsigned int word) { return (float)(word >> 8) * 0x1p-24f; }
WF_KERNEL generate(WF_BUFFER(key), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const WF_U64, key);
  WF_POINTER(float, y);
  WF_U64 stream = (WF_U64)p[2], seed = key[0];
  WF_LOOP(t, (int)p[0]) {
    unsigned int block[4];
    block[0] = (unsigned int)t;
    block[1] = (unsigned int)key[1];
    block[2] = (unsigned int)stream;
    block[3] = (unsigned int)(stream >> 32);
    philox(block, (unsigned int)seed, (unsigned int)(seed >> 32));
    int left = (int)p[1] - 4 * t;
    y[4 * t] = NUMBER(block[0]);
    if (left > 1) y[4 * t + 1] = NUMBER(block[1]);
    if (left > 2) y[4 * t + 2] = NUMBER(block[2]);
    if (left > 3) y[4 * t + 3] = NUMBER(block[3]);
  }
}
)";

// p: elements, size of the axis, elements within an index of it.
constexpr std::string_view iota_source = R"(
WF_KERNEL count_up(WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(Y_T, y);
  int size = (int)p[1], inner = (int)p[2];
  WF_LOOP(i, (int)p[0]) Y_STORE(y, i, (Y_C)(i / inner % size));
}
)";

Step make_random(const Node& node, KernelContext& context, const std::string& number) {
  int64_t elements = node.outputs[0].elements(), blocks = (elements + 3) / 4;
  Launch launch =
      make_launch(node, context,
                  library_source(context, str("#define NUMBER(word) ", number, "(word)\n"),
                                 random_source, false),
                  "generate", {blocks, elements, node.attr<RandomAttrs>().stream}, blocks, 128);
  return [launch](const StepArgs& args) { launch({args.in[0], args.out[0]}); };
}
}  // namespace

WAFER_KERNEL(random_uniform) {
  return make_random(node, context, "uniform_of");
}
WAFER_KERNEL(random_normal) {
  return make_random(node, context, "normal_of");
}

WAFER_KERNEL(iota) {
  const Type& type = node.outputs[0];
  auto axis = static_cast<size_t>(node.attr<IotaAttrs>().axis);
  std::vector<int64_t> sizes = type.shape.sizes();
  int64_t inner = 1;
  for (size_t d = axis + 1; d < sizes.size(); ++d) inner *= sizes[d];
  Launch launch = make_launch(
      node, context,
      library_source(context, words("Y", type.dtype), iota_source, type.dtype == DType::f64),
      "count_up", {type.elements(), sizes[axis], inner}, type.elements(), 2048);
  return [launch](const StepArgs& args) { launch({args.out[0]}); };
}

}  // namespace wafer::kernel
