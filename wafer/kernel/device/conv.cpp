#include "wafer/kernel/device/convolution.h"

#include <algorithm>

#include "wafer/kernel/device/gemm.h"
#include "wafer/kernel/device/move.h"
#include "wafer/kernel/device/window.h"
#include "wafer/op/conv.h"
#include "wafer/op/op.h"

// Convolutions by the vendor's library where there is one that takes them, else as matrix products:
// the windows of a few images are written out as the columns (or the rows) of a matrix. Every image
// and group is a batch of the product, so that results lie where they belong.
namespace wafer::kernel {

namespace {
// p: items, row length, padded row length, -, then the window's numbers from 8 on.
constexpr std::string_view conv_source = R"(
// y[image, channel, tap][place]: a row of y for each channel and place in the window.
WF_KERNEL columns(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  const WF_GLOBAL WF_I64* w = p + 8;
  int padded = (int)p[2];
  WF_LOOP(t, (int)p[0]) {
    int tap = t % TAPS, plane = t / TAPS;
    int kx = tap % KW, ky = tap / KW % KH, kz = tap / (KW * KH);
    const WF_GLOBAL X_T* from = x + (WF_I64)plane * X_IMAGE;
    WF_GLOBAL Y_T* to = y + (WF_I64)t * padded;
    int stride = SW, width = XW, left = kx * DW - PW, columns = YW;
    for (int oz = 0; oz < YD; ++oz) {
      int iz = oz * SD + kz * DD - PD;
      for (int oy = 0; oy < YH; ++oy) {
        int iy = oy * SH + ky * DH - PH;
        if (iz < 0 || iz >= XD || iy < 0 || iy >= XH) {
          for (int ox = 0; ox < columns; ++ox) to[ox] = 0;
        } else {
          const WF_GLOBAL X_T* row = from + (iz * XH + iy) * XW + left;
          // Places whose window begins before the image, within it, after it.
          int first = min(columns, left >= 0 ? 0 : (-left + stride - 1) / stride);
          int last = min(columns, width <= left ? 0 : (width - left + stride - 1) / stride);
          last = max(first, last);
          for (int ox = 0; ox < first; ++ox) to[ox] = 0;
          if (stride == 1)
            for (int ox = first; ox < last; ++ox) to[ox] = (Y_C)X_LOAD(row, ox);
          else
            for (int ox = first; ox < last; ++ox) to[ox] = (Y_C)X_LOAD(row, ox * stride);
          for (int ox = last; ox < columns; ++ox) to[ox] = 0;
        }
        to += columns;
      }
    }
    for (int j = Y_IMAGE; j < padded; ++j) *to++ = 0;
  }
}
// y[image, group, place][channel of the group, tap]; p[3]: channels of a group.
WF_KERNEL rows(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  const WF_GLOBAL WF_I64* w = p + 8;
  int length = (int)p[1], padded = (int)p[2], channels = (int)p[3];
  WF_LOOP(t, (int)p[0]) {
    int place = t % Y_IMAGE, group = t / Y_IMAGE;
    int ix = place % YW * SW - PW, iy = place / YW % YH * SH - PH, iz = place / (YW * YH) * SD - PD;
    WF_GLOBAL Y_T* to = y + (WF_I64)t * padded;
    const WF_GLOBAL X_T* from = x + (WF_I64)group * channels * X_IMAGE;
    for (int c = 0; c < channels; ++c, from += X_IMAGE) {
      for (int kz = 0; kz < KD; ++kz) {
        int z = iz + kz * DD;
        for (int ky = 0; ky < KH; ++ky) {
          int yy = iy + ky * DH;
          int outside = z < 0 || z >= XD || yy < 0 || yy >= XH;
          for (int kx = 0; kx < KW; ++kx) {
            int xx = ix + kx * DW;
            if (outside || xx < 0 || xx >= XW)
              *to++ = 0;
            else
              *to++ = (Y_C)X_LOAD(from, (z * XH + yy) * XW + xx);
          }
        }
      }
    }
    for (int j = length; j < padded; ++j) *to++ = 0;
  }
}
// The inverse of columns(): each element of y is the sum of the windows' elements that show it.
WF_KERNEL gathered(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  const WF_GLOBAL WF_I64* w = p + 8;
  int padded = (int)p[2];
  WF_LOOP(t, (int)p[0]) {  // rows of y
    int iy = t % XH, iz = t / XH % XD, plane = t / XH / XD;
    const WF_GLOBAL X_T* from = x + (WF_I64)plane * TAPS * padded;
    for (int ix = 0; ix < XW; ++ix) {
      Y_C sum = 0;
      for (int kz = 0; kz < KD; ++kz) {
        int z = iz + PD - kz * DD;
        if (z < 0 || z % SD != 0 || z / SD >= YD) continue;
        for (int ky = 0; ky < KH; ++ky) {
          int yy = iy + PH - ky * DH;
          if (yy < 0 || yy % SH != 0 || yy / SH >= YH) continue;
          for (int kx = 0; kx < KW; ++kx) {
            int xx = ix + PW - kx * DW;
            if (xx < 0 || xx % SW != 0 || xx / SW >= YW) continue;
            int tap = (kz * KH + ky) * KW + kx;
            sum += X_LOAD(from, (WF_I64)tap * padded + (z / SD * YH + yy / SH) * YW + xx / SW);
          }
        }
      }
      Y_STORE(y, (WF_I64)t * XW + ix, sum);
    }
  }
}
// A copy in another dtype.
WF_KERNEL converted(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  WF_LOOP(i, (int)p[0]) Y_STORE(y, i, (Y_C)X_LOAD(x, i));
}
)";

// Bytes of written out windows at a time.
constexpr size_t most_bytes = size_t{48} << 20;

// Where an image lies.
std::byte* at(void* address, int64_t image, size_t bytes) {
  return static_cast<std::byte*>(address) + static_cast<size_t>(image) * bytes;
}

class Convolution {
 public:
  template <class A>
  Convolution(const Node& node, KernelContext& context, const A& attrs, const Type& x,
              const Type& weight, const Type& y)
      : node_(node), context_(context), computed_(computed_in(node.outputs[0].dtype)) {
    std::vector<int64_t> kernel = weight.shape.sizes();
    kernel.erase(kernel.begin(), kernel.begin() + 2);
    window_ = window_numbers(attrs, x.shape, y.shape, kernel);
    images_ = window_[18];
    groups_ = attrs.groups;
    in_ = weight.shape.size(1);
    out_ = weight.shape.size(0) / groups_;
    taps_ = window_[22];
    length_ = in_ * taps_;
    places_ = window_[21];
    x_image_ = window_[19] * window_[20];
    y_image_ = out_ * groups_ * places_;
    x_bytes_ = byte_size(x.dtype, x_image_);
    y_bytes_ = byte_size(y.dtype, y_image_);
    bool pointwise = taps_ == 1;
    for (size_t d = 0; d < 3; ++d)
      pointwise =
          pointwise && window_[9 + d] == 1 && window_[12 + d] == 0 && window_[d] == window_[3 + d];
    pointwise_ = pointwise && places_ % gemm_lanes == 0;
  }

  // y = weight * columns of x
  Step forward() {
    const Type &x = node_.inputs[0].type(), &weight = node_.inputs[1].type(), &y = node_.outputs[0];
    bool direct = pointwise_ && x.dtype == computed_;
    int64_t padded = padded_to_lanes(places_);
    std::vector<Part> parts = split(direct ? 0 : groups_ * length_ * padded);
    struct Launches {
      Launch columns, product;
      int64_t first;
    };
    std::vector<Launches> launches;
    for (const Part& part : parts) {
      Launches l{{}, {}, part.first};
      if (!direct)
        l.columns = launch("columns", x.dtype, computed_, part.count * groups_ * length_, places_,
                           padded, places_);
      Gemm gemm{.a = weight.dtype,
                .c = y.dtype,
                .m = out_,
                .n = places_,
                .k = length_,
                .outer = part.count,
                .inner = groups_,
                .a_row = length_,
                .a_column = 1,
                .a_inner = out_ * length_,
                .b_row = padded,
                .b_outer = groups_ * length_ * padded,
                .b_inner = length_ * padded,
                .c_row = places_,
                .c_outer = y_image_,
                .c_inner = out_ * places_};
      l.product = make_gemm(node_, context_, gemm);
      launches.push_back(std::move(l));
    }
    context_.kernel = direct ? "matmul" : "columns+matmul";
    return [=, x_bytes = x_bytes_, y_bytes = y_bytes_](const StepArgs& args) {
      for (const Launches& l : launches) {
        const std::byte* from = at(args.in[0], l.first, x_bytes);
        if (!direct) l.columns({from, args.scratch});
        l.product({args.in[1], direct ? from : args.scratch, at(args.out[0], l.first, y_bytes)});
      }
    };
  }

  // x = sums of what weight^T y makes of the windows
  Step input_gradient() {
    const Type &y = node_.inputs[0].type(), &weight = node_.inputs[1].type(), &x = node_.outputs[0];
    bool packed = y.dtype != computed_ || places_ % gemm_lanes != 0;
    int64_t padded = padded_to_lanes(places_);
    int64_t per_image = groups_ * length_ * padded;
    size_t columns_bytes = 0;
    std::vector<Part> parts = split(per_image + (packed ? out_ * groups_ * padded : 0));
    struct Launches {
      Launch pack, product, gathered;
      int64_t first;
    };
    std::vector<Launches> launches;
    for (const Part& part : parts) {
      Launches l{{}, {}, {}, part.first};
      columns_bytes = std::max(columns_bytes, byte_size(computed_, part.count * per_image));
      if (packed) {
        l.pack = make_pack(node_, context_,
                           {.from = y.dtype,
                            .to = computed_,
                            .rows = part.count * out_ * groups_,
                            .columns = places_,
                            .padded = padded,
                            .batches = 1,
                            .row = places_,
                            .column = 1});
      }
      Gemm gemm{.a = weight.dtype,
                .c = computed_,
                .m = length_,
                .n = places_,
                .k = out_,
                .outer = part.count,
                .inner = groups_,
                .a_row = 1,
                .a_column = length_,
                .a_inner = out_ * length_,
                .b_row = padded,
                .b_outer = out_ * groups_ * padded,
                .b_inner = out_ * padded,
                .c_row = padded,
                .c_outer = per_image,
                .c_inner = length_ * padded};
      l.product = make_gemm(node_, context_, gemm);
      l.gathered =
          launch("gathered", computed_, x.dtype, part.count * window_[19] * window_[0] * window_[1],
                 places_, padded, window_[2] * taps_);
      launches.push_back(std::move(l));
    }
    columns_bytes = (columns_bytes + 63) / 64 * 64;
    context_.kernel = "matmul+gather";
    return [=, x_bytes = x_bytes_, y_bytes = y_bytes_](const StepArgs& args) {
      for (const Launches& l : launches) {
        const std::byte* from = at(args.in[0], l.first, y_bytes);
        std::byte* rows = args.scratch + columns_bytes;
        if (packed) l.pack({from, rows});
        l.product({args.in[1], packed ? rows : from, args.scratch});
        l.gathered({args.scratch, at(args.out[0], l.first, x_bytes)});
      }
    };
  }

  // weight = sum over images of y times the rows of x's windows
  Step weight_gradient() {
    const Type &x = node_.inputs[0].type(), &y = node_.inputs[1].type();
    const Type& weight = node_.outputs[0];
    int64_t padded = padded_to_lanes(length_);
    std::vector<Part> parts = split(groups_ * places_ * padded);
    bool direct = weight.dtype == computed_;
    size_t rows_bytes = (context_.scratch_bytes + 63) / 64 * 64;
    if (!direct) context_.scratch_bytes = rows_bytes + byte_size(computed_, weight.elements());
    struct Launches {
      Launch rows, product;
      int64_t first;
    };
    std::vector<Launches> launches;
    for (const Part& part : parts) {
      Launches l{{}, {}, part.first};
      l.rows = launch("rows", x.dtype, computed_, part.count * groups_ * places_, length_, padded,
                      length_);
      Gemm gemm{.a = y.dtype,
                .c = computed_,
                .m = out_,
                .n = length_,
                .k = places_,
                .terms = part.count,
                .outer = 1,
                .inner = groups_,
                .a_row = places_,
                .a_column = 1,
                .a_term = y_image_,
                .a_inner = out_ * places_,
                .b_row = padded,
                .b_term = groups_ * places_ * padded,
                .b_inner = places_ * padded,
                .c_row = length_,
                .c_inner = out_ * length_,
                .accumulate = part.first > 0};
      l.product = make_gemm(node_, context_, gemm);
      launches.push_back(std::move(l));
    }
    Launch narrowed;
    if (!direct)
      narrowed = launch("converted", computed_, weight.dtype, weight.elements(), 0, 0, 1);
    context_.kernel = "rows+matmul";
    size_t bytes = weight.bytes();
    uint8_t zero = 0;
    const Queue* device = &session_of(context_).queue();
    return [=, x_bytes = x_bytes_, y_bytes = y_bytes_](const StepArgs& args) {
      std::byte* sums = direct ? static_cast<std::byte*>(args.out[0]) : args.scratch + rows_bytes;
      if (launches.empty()) device->fill(args.out[0], &zero, 1, bytes);  // no images
      for (const Launches& l : launches) {
        l.rows({at(args.in[0], l.first, x_bytes), args.scratch});
        l.product({at(args.in[1], l.first, y_bytes), args.scratch, sums});
      }
      if (!direct && !launches.empty()) narrowed({sums, args.out[0]});
    };
  }

 private:
  struct Part {
    int64_t first, count;  // images
  };

  // Images in parts whose windows fit; reserves scratch memory for the largest.
  std::vector<Part> split(int64_t elements_per_image) {
    size_t bytes = std::max<size_t>(byte_size(computed_, elements_per_image), 1);
    int64_t most = std::max<int64_t>(static_cast<int64_t>(most_bytes / bytes), 1);
    // Rows are counted in 32 bits.
    std::vector<Part> parts;
    for (int64_t first = 0; first < images_; first += most)
      parts.push_back({first, std::min(most, images_ - first)});
    if (!parts.empty() && elements_per_image > 0)
      context_.scratch_bytes = byte_size(computed_, parts[0].count * elements_per_image) + 128;
    return parts;
  }

  Launch launch(const std::string& name, DType from, DType to, int64_t items, int64_t length,
                int64_t padded, int64_t work) {
    std::vector<int64_t> p = {items, length, padded, in_, 0, 0, 0, 0};
    p.insert(p.end(), window_.begin(), window_.end());
    bool f64 = from == DType::f64 || to == DType::f64;
    return make_launch(
        node_, context_,
        library_source(context_, window_text + words("X", from) + words("Y", to), conv_source, f64),
        name, p, items, std::max<int64_t>(2048 / std::max<int64_t>(work, 1), 1));
  }

  const Node& node_;
  KernelContext& context_;
  DType computed_;
  std::vector<int64_t> window_;
  int64_t images_ = 0, groups_ = 1, in_ = 0, out_ = 0, taps_ = 0, length_ = 0, places_ = 0;
  int64_t x_image_ = 0, y_image_ = 0;
  size_t x_bytes_ = 0, y_bytes_ = 0;
  bool pointwise_ = false;
};

ConvolutionProblem::Value value_of(const Type& type) {
  return {type.shape.sizes(), type.strides()};
}

template <class A>
std::optional<ConvolutionProblem> problem_of(ConvolutionProblem::Computes computes, const A& attrs,
                                             const Type& x, const Type& weight, const Type& y) {
  if (!(is_narrow(y.dtype) || y.dtype == DType::f32) || x.dtype != y.dtype ||
      weight.dtype != y.dtype)
    return std::nullopt;
  if (x.elements() == 0 || weight.elements() == 0 || y.elements() == 0) return std::nullopt;
  return ConvolutionProblem{.computes = computes,
                            .dtype = y.dtype,
                            .x = value_of(x),
                            .weight = value_of(weight),
                            .y = value_of(y),
                            .stride = attrs.stride,
                            .padding_low = attrs.padding_low,
                            .padding_high = attrs.padding_high,
                            .dilation = attrs.dilation,
                            .groups = attrs.groups};
}

// A kernel that knows values row by row alone, on copies of those that lie otherwise.
Step on_rows(const Node& node, KernelContext& context, const MakeKernel& make) {
  struct Copy {
    size_t value, offset;
    Launch move;
  };
  std::vector<Copy> before, after;
  std::vector<size_t> bytes;
  auto copy = [&](const Type& from, const Type& to) {
    return make_move(node, context, from.dtype,
                     {.sizes = from.shape.sizes(), .from = from.strides(), .to = to.strides()});
  };
  std::vector<Tensor> inputs;
  for (const Tensor& input : node.inputs) {
    Type rows = input.type();
    rows.layout = Layout::row_major;
    if (rows != input.type()) {
      before.push_back({inputs.size(), 0, copy(input.type(), rows)});
      bytes.push_back(rows.bytes());
    }
    inputs.push_back(make_input(rows, "rows"));
  }
  std::vector<Type> outputs = node.outputs;
  for (Type& type : outputs) {
    Type rows = type;
    rows.layout = Layout::row_major;
    if (rows != type) {
      after.push_back({static_cast<size_t>(&type - outputs.data()), 0, copy(rows, type)});
      bytes.push_back(rows.bytes());
    }
    type = rows;
  }
  if (bytes.empty()) return make(node, context);
  Tensor on_copies = clone_node(node, inputs, outputs)[0];
  Step step = make(on_copies.node(), context);
  Scratch scratch;
  scratch.reserve(context.scratch_bytes);
  size_t next = 0;
  for (auto* copies : {&before, &after}) {
    for (Copy& each : *copies) each.offset = scratch.reserve(bytes[next++]);
  }
  context.scratch_bytes = scratch.total();
  return [=, in_count = inputs.size(), out_count = outputs.size()](const StepArgs& args) {
    std::vector<void*> in(args.in, args.in + in_count), out(args.out, args.out + out_count);
    for (const Copy& each : before) {
      in[each.value] = args.scratch + each.offset;
      each.move({args.in[each.value], in[each.value], nullptr});
    }
    for (const Copy& each : after) out[each.value] = args.scratch + each.offset;
    step({in.data(), out.data(), args.scratch});
    for (const Copy& each : after) each.move({out[each.value], args.out[each.value], nullptr});
  };
}

// By the vendor's library, else as products.
Step make_convolution(const Node& node, KernelContext& context, const MakeKernel& products) {
  auto problem = convolution_problem(node);
  auto library = problem ? find_library_convolution(context, *problem) : nullptr;
  if (!library) return on_rows(node, context, products);
  context.kernel = library->name();
  return [library, computes = problem->computes, what = describe(node)](const StepArgs& args) {
    const void *first = args.in[0], *second = args.in[1], *result = args.out[0];
    ConvolutionAddresses at{first, second, result};
    if (computes == ConvolutionProblem::Computes::x) at = {result, second, first};
    if (computes == ConvolutionProblem::Computes::weight) at = {first, result, second};
    library->launch(at, args.scratch, what);
  };
}
}  // namespace

std::optional<ConvolutionProblem> convolution_problem(const Node& node) {
  using Computes = ConvolutionProblem::Computes;
  const Type &first = node.inputs[0].type(), &second = node.inputs[1].type();
  const Type& result = node.outputs[0];
  if (node.is(op::conv))
    return problem_of(Computes::y, node.attr<ConvAttrs>(), first, second, result);
  const auto& attrs = node.attr<ConvGradientAttrs>();
  if (node.is(op::conv_input_gradient))
    return problem_of(Computes::x, attrs, result, second, first);
  return problem_of(Computes::weight, attrs, first, result, second);
}

std::shared_ptr<const LibraryConvolution> find_library_convolution(
    KernelContext& context, const ConvolutionProblem& problem) {
  auto library = session_of(context).queue().library_convolution(problem);
  if (library) context.scratch_bytes = library->workspace_bytes();
  return library;
}

WAFER_KERNEL(conv) {
  return make_convolution(node, context, [](const Node& conv, KernelContext& on) {
    return Convolution(conv, on, conv.attr<ConvAttrs>(), conv.inputs[0].type(),
                       conv.inputs[1].type(), conv.outputs[0])
        .forward();
  });
}
WAFER_KERNEL(conv_input_gradient) {
  return make_convolution(node, context, [](const Node& conv, KernelContext& on) {
    return Convolution(conv, on, conv.attr<ConvGradientAttrs>(), conv.outputs[0],
                       conv.inputs[1].type(), conv.inputs[0].type())
        .input_gradient();
  });
}
WAFER_KERNEL(conv_weight_gradient) {
  return make_convolution(node, context, [](const Node& conv, KernelContext& on) {
    return Convolution(conv, on, conv.attr<ConvGradientAttrs>(), conv.inputs[0].type(),
                       conv.outputs[0], conv.inputs[1].type())
        .weight_gradient();
  });
}

}  // namespace wafer::kernel
