#include "wafer/op/random.h"

#include "wafer/backend/opencl/session.h"
#include "wafer/op/create.h"
#include "wafer/op/op.h"

// Values made of nothing: counts, and random numbers as op/random.h defines them.
namespace wafer::opencl {

namespace {
// p: items, elements, stream. An item is a block of four numbers.
constexpr std::string_view random_source = R"(
inline uint4 philox(uint4 c, uint2 key) {
  for (int round = 0; round < 10; ++round) {
    ulong low = (ulong)0xD2511F53u * c.x, high = (ulong)0xCD9E8D57u * c.z;
    c = (uint4)((uint)(high >> 32) ^ c.y ^ key.x, (uint)high, (uint)(low >> 32) ^ c.w ^ key.y,
                (uint)low);
    key += (uint2)(0x9E3779B9u, 0xBB67AE85u);
  }
  return c;
}
// Natural logarithm of normal positive numbers: the polynomial of Cephes' logf, within 1 ulp.
inline float natural_log(float x) {
  int bits = as_int(x), exponent = (bits >> 23) - 126;
  float m = as_float((bits & 0x7fffff) | 0x3f000000);
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
inline float normal_of(uint word) {
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
inline float uniform_of(uint word) { return (float)(word >> 8) * 0x1p-24f; }
__kernel void generate(BUFFER(key), BUFFER(y), NUMBERS) {
  POINTER(const ulong, key);
  POINTER(float, y);
  ulong stream = (ulong)p[2], seed = key[0];
  WF_LOOP(t, (int)p[0]) {
    uint4 block = philox((uint4)((uint)t, (uint)key[1], (uint)stream, (uint)(stream >> 32)),
                         (uint2)((uint)seed, (uint)(seed >> 32)));
    int left = (int)p[1] - 4 * t;
    y[4 * t] = NUMBER(block.x);
    if (left > 1) y[4 * t + 1] = NUMBER(block.y);
    if (left > 2) y[4 * t + 2] = NUMBER(block.z);
    if (left > 3) y[4 * t + 3] = NUMBER(block.w);
  }
}
)";

// p: elements, size of the axis, elements within an index of it.
constexpr std::string_view iota_source = R"(
__kernel void count_up(BUFFER(y), NUMBERS) {
  POINTER(Y_T, y);
  int size = (int)p[1], inner = (int)p[2];
  WF_LOOP(i, (int)p[0]) Y_STORE(y, i, (Y_C)(i / inner % size));
}
)";

Step make_random(const Node& node, KernelContext& context, const std::string& number) {
  int64_t elements = node.outputs[0].elements(), blocks = (elements + 3) / 4;
  Launch launch = make_launch(
      node, context,
      library_source(str("#define NUMBER(word) ", number, "(word)\n"), random_source, false),
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
      node, context, library_source(words("Y", type.dtype), iota_source, type.dtype == DType::f64),
      "count_up", {type.elements(), sizes[axis], inner}, type.elements(), 2048);
  return [launch](const StepArgs& args) { launch({args.out[0]}); };
}

}  // namespace wafer::opencl
