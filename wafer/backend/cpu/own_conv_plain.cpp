#include "wafer/backend/cpu/own_conv.h"
#include "wafer/backend/cpu/own_conv_operands.h"
#include "wafer/backend/cpu/own_epilogue.h"

namespace wafer::cpu::own {

namespace {
// The sizes, and element strides: batch (out), channel (in), three spatial.
struct Loops : Geometry {
  int64_t x[5] = {}, weight[5] = {}, y[5] = {};

  explicit Loops(const ConvProblem& p) : Geometry(p) {
    auto spread = [](const Type& type, int64_t(&to)[5]) {
      std::vector<int64_t> s = type.strides();
      to[0] = s[0];
      to[1] = s[1];
      for (size_t i = 2; i < s.size(); ++i) to[5 - s.size() + i] = s[i];
    };
    spread(p.x, x);
    spread(p.weight, weight);
    spread(p.y, y);
  }
};

int64_t offset(const int64_t (&strides)[5], int64_t a, int64_t b, const int64_t (&p)[3]) {
  return a * strides[0] + b * strides[1] + p[0] * strides[2] + p[1] * strides[3] +
         p[2] * strides[4];
}

template <class Body>
void over_block(const int64_t (&size)[3], const Body& body) {
  int64_t p[3];
  for (p[0] = 0; p[0] < size[0]; ++p[0]) {
    for (p[1] = 0; p[1] < size[1]; ++p[1]) {
      for (p[2] = 0; p[2] < size[2]; ++p[2]) body(p);
    }
  }
}

// The input position that kernel position k of output o reads; false in the padding.
bool input_of(const Loops& l, const int64_t (&o)[3], const int64_t (&k)[3], int64_t (&i)[3]) {
  for (int d = 0; d < 3; ++d) {
    i[d] = o[d] * l.stride[d] - l.low[d] + k[d] * l.dilation[d];
    if (i[d] < 0 || i[d] >= l.in[d]) return false;
  }
  return true;
}

// The output position whose kernel position k reads input i; false where there is none.
bool output_of(const Loops& l, const int64_t (&i)[3], const int64_t (&k)[3], int64_t (&o)[3]) {
  for (int d = 0; d < 3; ++d) {
    int64_t distance = i[d] + l.low[d] - k[d] * l.dilation[d];
    if (distance < 0 || distance % l.stride[d] != 0) return false;
    o[d] = distance / l.stride[d];
    if (o[d] >= l.out[d]) return false;
  }
  return true;
}

template <class T>
using Wide = std::conditional_t<(sizeof(T) < 4), float, T>;

template <class F>
Step with_floating(DType dtype, F&& make) {
  switch (dtype) {
    case DType::f64: return make(std::type_identity<double>{});
    case DType::f32: return make(std::type_identity<float>{});
    case DType::f16: return make(std::type_identity<Float16>{});
    case DType::bf16: return make(std::type_identity<BFloat16>{});
    default: throw InternalError(str("a convolution of ", dtype));
  }
}
}  // namespace

Step make_conv_plain(const ConvProblem& p, const Epilogue& epilogue) {
  return with_floating(p.x.dtype, [&]<class T>(std::type_identity<T>) -> Step {
    return [p, epilogue, l = Loops(p)](const StepArgs& args) {
      const T *x = args.input<T>(0), *weight = args.input<T>(1);
      T* y = args.output<T>(0);
      parallel_for(l.batch * l.groups * l.out_group(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t plane = begin; plane < end; ++plane) {
          int64_t n = plane / (l.groups * l.out_group()), oc = plane % (l.groups * l.out_group());
          int64_t first_channel = oc / l.out_group() * l.in_group();
          over_block(l.out, [&](const int64_t(&o)[3]) {
            Wide<T> sum{};
            over_block(l.kernel, [&](const int64_t(&k)[3]) {
              int64_t i[3];
              if (!input_of(l, o, k, i)) return;
              for (int64_t c = 0; c < l.in_group(); ++c) {
                sum += static_cast<Wide<T>>(x[offset(l.x, n, first_channel + c, i)]) *
                       static_cast<Wide<T>>(weight[offset(l.weight, oc, c, k)]);
              }
            });
            y[offset(l.y, n, oc, o)] = static_cast<T>(sum);
          });
        }
      });
      apply_epilogue(epilogue, p.y, 1, args);
    };
  });
}

Step make_conv_input_gradient_plain(const ConvProblem& p) {
  return with_floating(p.x.dtype, [&]<class T>(std::type_identity<T>) -> Step {
    return [l = Loops(p)](const StepArgs& args) {
      const T *y = args.input<T>(0), *weight = args.input<T>(1);
      T* x = args.output<T>(0);
      parallel_for(l.batch * l.groups * l.in_group(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t plane = begin; plane < end; ++plane) {
          int64_t n = plane / (l.groups * l.in_group()), ic = plane % (l.groups * l.in_group());
          int64_t first_channel = ic / l.in_group() * l.out_group();
          over_block(l.in, [&](const int64_t(&i)[3]) {
            Wide<T> sum{};
            over_block(l.kernel, [&](const int64_t(&k)[3]) {
              int64_t o[3];
              if (!output_of(l, i, k, o)) return;
              for (int64_t c = 0; c < l.out_group(); ++c) {
                sum += static_cast<Wide<T>>(y[offset(l.y, n, first_channel + c, o)]) *
                       static_cast<Wide<T>>(
                           weight[offset(l.weight, first_channel + c, ic % l.in_group(), k)]);
              }
            });
            x[offset(l.x, n, ic, i)] = static_cast<T>(sum);
          });
        }
      });
    };
  });
}

Step make_conv_weight_gradient_plain(const ConvProblem& p) {
  return with_floating(p.x.dtype, [&]<class T>(std::type_identity<T>) -> Step {
    return [l = Loops(p)](const StepArgs& args) {
      const T *x = args.input<T>(0), *y = args.input<T>(1);
      T* weight = args.output<T>(0);
      parallel_for(l.groups * l.out_group() * l.in_group(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t pair = begin; pair < end; ++pair) {
          int64_t oc = pair / l.in_group(), c = pair % l.in_group();
          int64_t channel = oc / l.out_group() * l.in_group() + c;
          over_block(l.kernel, [&](const int64_t(&k)[3]) {
            Wide<T> sum{};
            for (int64_t n = 0; n < l.batch; ++n) {
              over_block(l.out, [&](const int64_t(&o)[3]) {
                int64_t i[3];
                if (!input_of(l, o, k, i)) return;
                sum += static_cast<Wide<T>>(x[offset(l.x, n, channel, i)]) *
                       static_cast<Wide<T>>(y[offset(l.y, n, oc, o)]);
              });
            }
            weight[offset(l.weight, oc, c, k)] = static_cast<T>(sum);
          });
        }
      });
    };
  });
}

}  // namespace wafer::cpu::own
