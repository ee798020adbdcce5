#include "wafer/op/pool.h"

#include "wafer/kernel/device/session.h"
#include "wafer/kernel/device/window.h"
#include "wafer/op/op.h"

// Pooling: a work item makes one element, gradients too: it visits the windows that show it.
namespace wafer::kernel {

namespace {
// p: items, whether padded elements count; the window's numbers from 8 on. Items are elements as
// they lie. Of an item in planes of `image` elements: PLACE is where it is in its plane, START
// where its plane begins in a value with planes of `other` elements, STEP the distance of
// neighbours there.
constexpr std::string_view pool_source = R"(
#if CHANNELS_LAST
#define PLACE(t, image) ((t) / CHANNELS % (image))
#define START(t, image, other) \
  ((WF_I64)((t) / CHANNELS / (image)) * (other) * CHANNELS + (t) % CHANNELS)
#define STEP CHANNELS
#else
#define PLACE(t, image) ((t) % (image))
#define START(t, image, other) ((WF_I64)((t) / (image)) * (other))
#define STEP 1
#endif
WF_KERNEL max_pool(WF_BUFFER(x), WF_BUFFER(y), WF_BUFFER(winner), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  WF_POINTER(I_T, winner);
  const WF_GLOBAL WF_I64* w = p + 8;
  WF_LOOP(t, (int)p[0]) {
    int at = PLACE(t, Y_IMAGE), ox = at % YW, oy = at / YW % YH, oz = at / (YW * YH);
    const WF_GLOBAL X_T* from = x + START(t, Y_IMAGE, X_IMAGE);
    X_C best = LOWEST;
    int tap = 0, index = 0, found = 0;
    for (int kz = 0; kz < KD; ++kz) {
      int z = oz * SD + kz * DD - PD;
      for (int ky = 0; ky < KH; ++ky) {
        int yy = oy * SH + ky * DH - PH;
        for (int kx = 0; kx < KW; ++kx, ++tap) {
          int xx = ox * SW + kx * DW - PW;
          if (z < 0 || z >= XD || yy < 0 || yy >= XH || xx < 0 || xx >= XW) continue;
          X_C value = X_LOAD(from, ((z * XH + yy) * XW + xx) * STEP);
          // NaN is greatest.
          if (found && !(value != value ? best == best : best < value)) continue;
          best = value;
          index = tap;
          found = 1;
        }
      }
    }
    if (p[2]) Y_STORE(y, t, best);
    if (p[3]) I_STORE(winner, t, index);
  }
}
WF_KERNEL max_pool_gradient(WF_BUFFER(g), WF_BUFFER(winner), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, g);
  WF_POINTER(const I_T, winner);
  WF_POINTER(Y_T, y);
  const WF_GLOBAL WF_I64* w = p + 8;
  WF_LOOP(t, (int)p[0]) {
    int here = PLACE(t, X_IMAGE), ix = here % XW, iy = here / XW % XH, iz = here / (XW * XH);
    WF_I64 first = START(t, X_IMAGE, Y_IMAGE);
    Y_C sum = 0;
    int tap = 0;
    for (int kz = 0; kz < KD; ++kz) {
      int z = iz + PD - kz * DD;
      for (int ky = 0; ky < KH; ++ky) {
        int yy = iy + PH - ky * DH;
        for (int kx = 0; kx < KW; ++kx, ++tap) {
          int xx = ix + PW - kx * DW;
          if (z < 0 || yy < 0 || xx < 0 || z % SD || yy % SH || xx % SW) continue;
          if (z / SD >= YD || yy / SH >= YH || xx / SW >= YW) continue;
          WF_I64 at = first + ((z / SD * YH + yy / SH) * YW + xx / SW) * STEP;
          if (winner[at] == tap) sum += X_LOAD(g, at);
        }
      }
    }
    Y_STORE(y, t, sum);
  }
}
// Elements of a window that lie in the image, along one dimension.
WF_FUNCTION int inside(int start, int taps, int dilation, int size) {
  int count = 0;
  for (int k = 0; k < taps; ++k) {
    int at = start + k * dilation;
    count += at >= 0 && at < size;
  }
  return count;
}
WF_FUNCTION float divisor(int oz, int oy, int ox, const WF_GLOBAL WF_I64* p) {
  const WF_GLOBAL WF_I64* w = p + 8;
  if (p[1]) return (float)TAPS;
  int count = inside(oz * SD - PD, KD, DD, XD) * inside(oy * SH - PH, KH, DH, XH) *
              inside(ox * SW - PW, KW, DW, XW);
  return count > 0 ? (float)count : 1.0f;
}
WF_KERNEL avg_pool(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  const WF_GLOBAL WF_I64* w = p + 8;
  WF_LOOP(t, (int)p[0]) {
    int at = PLACE(t, Y_IMAGE), ox = at % YW, oy = at / YW % YH, oz = at / (YW * YH);
    const WF_GLOBAL X_T* from = x + START(t, Y_IMAGE, X_IMAGE);
    X_C sum = 0;
    for (int kz = 0; kz < KD; ++kz) {
      int z = oz * SD + kz * DD - PD;
      if (z < 0 || z >= XD) continue;
      for (int ky = 0; ky < KH; ++ky) {
        int yy = oy * SH + ky * DH - PH;
        if (yy < 0 || yy >= XH) continue;
        for (int kx = 0; kx < KW; ++kx) {
          int xx = ox * SW + kx * DW - PW;
          if (xx >= 0 && xx < XW) sum += X_LOAD(from, ((z * XH + yy) * XW + xx) * STEP);
        }
      }
    }
    Y_STORE(y, t, sum / divisor(oz, oy, ox, p));
  }
}
WF_KERNEL avg_pool_gradient(WF_BUFFER(g), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, g);
  WF_POINTER(Y_T, y);
  const WF_GLOBAL WF_I64* w = p + 8;
  WF_LOOP(t, (int)p[0]) {
    int here = PLACE(t, X_IMAGE), ix = here % XW, iy = here / XW % XH, iz = here / (XW * XH);
    WF_I64 first = START(t, X_IMAGE, Y_IMAGE);
    Y_C sum = 0;
    for (int kz = 0; kz < KD; ++kz) {
      int z = iz + PD - kz * DD;
      for (int ky = 0; ky < KH; ++ky) {
        int yy = iy + PH - ky * DH;
        for (int kx = 0; kx < KW; ++kx) {
          int xx = ix + PW - kx * DW;
          if (z < 0 || yy < 0 || xx < 0 || z % SD || yy % SH || xx % SW) continue;
          int oz = z / SD, oy = yy / SH, ox = xx / SW;
          if (oz >= YD || oy >= YH || ox >= YW) continue;
          sum += X_LOAD(g, first + ((oz * YH + oy) * YW + ox) * STEP) / divisor(oz, oy, ox, p);
        }
      }
    }
    Y_STORE(y, t, sum);
  }
}
)";

std::string lowest(DType dtype) {
  if (is_floating(dtype)) return "-WF_INFINITY";
  return is_signed(dtype) ? "WF_I64_MIN" : "0";
}

template <class A>
Launch pool_launch(const Node& node, KernelContext& context, const std::string& name, const Type& x,
                   const Type& y, int64_t items, std::vector<int64_t> head) {
  const A& attrs = node.attr<A>();
  head.insert(head.begin(), {items, attrs.count_padding});
  head.resize(8);
  auto window = window_numbers(attrs, x.shape, y.shape, attrs.kernel);
  head.insert(head.end(), window.begin(), window.end());
  WAFER_CHECK(x.layout == y.layout, node.op->name, " between layouts");
  bool f64 = x.dtype == DType::f64;
  // Values have one dtype on both sides; winners' places are of another.
  DType winner = DType::i64;
  if (node.is(op::max_pool)) winner = node.outputs[1].dtype;
  if (node.is(op::max_pool_gradient)) winner = node.inputs[1].dtype();
  std::string text =
      library_source(context,
                     window_text + words("X", x.dtype) + words("Y", x.dtype) + words("I", winner) +
                         str("#define LOWEST ((X_C)", lowest(x.dtype), ")\n#define CHANNELS_LAST ",
                             x.layout == Layout::channels_last, "\n"),
                     pool_source, f64);
  context.kernel = name;
  return make_launch(node, context, text, name, head, items,
                     std::max<int64_t>(1024 / std::max<int64_t>(window[22], 1), 1));
}
}  // namespace

WAFER_KERNEL(max_pool) {
  bool indices = context.output_used.size() < 2 || context.output_used[1];
  Launch launch =
      pool_launch<PoolAttrs>(node, context, "max_pool", node.inputs[0].type(), node.outputs[0],
                             node.outputs[0].elements(), {context.output_used[0], indices});
  return [launch](const StepArgs& args) { launch({args.in[0], args.out[0], args.out[1]}); };
}
WAFER_KERNEL(max_pool_gradient) {
  Launch launch =
      pool_launch<PoolGradientAttrs>(node, context, "max_pool_gradient", node.outputs[0],
                                     node.inputs[0].type(), node.outputs[0].elements(), {});
  return [launch](const StepArgs& args) { launch({args.in[0], args.in[1], args.out[0]}); };
}
WAFER_KERNEL(avg_pool) {
  Launch launch = pool_launch<PoolAttrs>(node, context, "avg_pool", node.inputs[0].type(),
                                         node.outputs[0], node.outputs[0].elements(), {});
  return [launch](const StepArgs& args) { launch({args.in[0], args.out[0]}); };
}
WAFER_KERNEL(avg_pool_gradient) {
  Launch launch =
      pool_launch<PoolGradientAttrs>(node, context, "avg_pool_gradient", node.outputs[0],
                                     node.inputs[0].type(), node.outputs[0].elements(), {});
  return [launch](const StepArgs& args) { launch({args.in[0], args.out[0]}); };
}

}  // namespace wafer::kernel
