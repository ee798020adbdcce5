#include "wafer/kernel/device/move.h"

#include <cstring>

#include "wafer/ir/convert.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

// Ops that move elements without computing on them: each is a few strided copies.
namespace wafer::kernel {

namespace {
using Sizes = std::vector<int64_t>;

// p: rows, inner size, rank, inner strides (from, to), offsets (from, to), number of starts; from 8
// on in eights: sizes, strides from, strides to, limits of starts, strides of starts (from, to).
constexpr std::string_view move_source = R"(
WF_KERNEL move(WF_BUFFER(x), WF_BUFFER(y), WF_BUFFER(start), WF_NUMBERS) {
  WF_POINTER(const T, x);
  WF_POINTER(T, y);
  WF_POINTER(const WF_I64, start);
  int rows = (int)p[0], inner = (int)p[1], rank = (int)p[2], starts = (int)p[7];
  WF_I64 xs = p[3], ys = p[4], x0 = p[5], y0 = p[6];
  for (int d = 0; d < starts; ++d) {
    WF_I64 at = min(max(start[d], (WF_I64)0), p[32 + d]);
    x0 += at * p[40 + d];
    y0 += at * p[48 + d];
  }
  WF_LOOP(row, rows) {
    WF_I64 from = x0, to = y0;
    int rest = row;
    for (int d = rank - 1; d >= 0; --d) {
      int size = (int)p[8 + d], at = rest % size;
      rest /= size;
      from += at * p[16 + d];
      to += at * p[24 + d];
    }
    if (xs == 1 && ys == 1) {
      for (int j = 0; j < inner; ++j) y[to + j] = x[from + j];
    } else {
      for (int j = 0; j < inner; ++j) y[to + j * ys] = x[from + j * xs];
    }
  }
}
)";

// Dimensions of 1 dropped, neighbours that both sides walk as one joined.
void collapse(Move& move) {
  Move result = move;
  result.sizes.clear();
  result.from.clear();
  result.to.clear();
  for (size_t d = 0; d < move.sizes.size(); ++d) {
    if (move.sizes[d] == 1) continue;
    bool joins = !result.sizes.empty() && result.from.back() == move.from[d] * move.sizes[d] &&
                 result.to.back() == move.to[d] * move.sizes[d];
    if (joins) {
      result.sizes.back() *= move.sizes[d];
      result.from.back() = move.from[d];
      result.to.back() = move.to[d];
    } else {
      result.sizes.push_back(move.sizes[d]);
      result.from.push_back(move.from[d]);
      result.to.push_back(move.to[d]);
    }
  }
  move = result;
}

int64_t count(const Sizes& sizes) {
  int64_t product = 1;
  for (int64_t size : sizes) product *= size;
  return product;
}

Sizes sizes_of(const Tensor& x) {
  return x.shape().sizes();
}

Step one_move(const Node& node, const KernelContext& context, Move move) {
  Launch launch = make_move(node, context, node.outputs[0].dtype, std::move(move));
  return [launch](const StepArgs& args) { launch({args.in[0], args.out[0], nullptr}); };
}

}  // namespace

Launch make_move(const Node& node, const KernelContext& context, DType dtype, Move move) {
  constexpr std::string_view types[] = {"unsigned char", "unsigned short", "unsigned int",
                                        "WF_U64"};
  int log2_bytes = 0;
  while ((8 << log2_bytes) < bits(dtype)) ++log2_bytes;
  collapse(move);
  int64_t elements = count(move.sizes), inner = 1, from_stride = 1, to_stride = 1;
  // A CPU's work item copies a row; one long row is copied element by element, to share it out.
  bool rows = session_of(context).queue().capabilities().is_cpu && move.sizes.size() > 1;
  if (rows) {
    inner = move.sizes.back();
    from_stride = move.from.back();
    to_stride = move.to.back();
    move.sizes.pop_back();
    move.from.pop_back();
    move.to.pop_back();
  }
  Sizes p(56);
  int64_t row_count = elements == 0 ? 0 : elements / inner;
  Sizes head = {row_count,
                inner,
                static_cast<int64_t>(move.sizes.size()),
                from_stride,
                to_stride,
                move.from_offset,
                move.to_offset,
                static_cast<int64_t>(move.limits.size())};
  auto put = [&](size_t at, const Sizes& values) {
    std::copy(values.begin(), values.end(), p.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, head);
  put(8, move.sizes);
  put(16, move.from);
  put(24, move.to);
  put(32, move.limits);
  put(40, move.start_from);
  put(48, move.start_to);
  std::string text =
      library_source(context, str("#define T ", types[log2_bytes], "\n"), move_source, false);
  return make_launch(node, context, text, "move", p, row_count,
                     std::max<int64_t>(4096 / std::max<int64_t>(inner, 1), 1));
}

WAFER_KERNEL(reshape) {
  size_t bytes = node.outputs[0].bytes();
  WAFER_CHECK(node.outputs[0].layout == Layout::row_major &&
                  node.inputs[0].type().layout == Layout::row_major,
              "a reshape between layouts");
  const Queue* device = &session_of(context).queue();
  return [=](const StepArgs& args) { device->copy(args.out[0], args.in[0], bytes); };
}

WAFER_KERNEL(reorder) {
  return one_move(node, context,
                  {.sizes = node.outputs[0].shape.sizes(),
                   .from = node.inputs[0].type().strides(),
                   .to = node.outputs[0].strides()});
}

WAFER_KERNEL(transpose) {
  Sizes from, strides = node.inputs[0].type().strides();
  for (int64_t axis : node.attr<TransposeAttrs>().permutation)
    from.push_back(strides[static_cast<size_t>(axis)]);
  return one_move(
      node, context,
      {.sizes = node.outputs[0].shape.sizes(), .from = from, .to = node.outputs[0].strides()});
}

WAFER_KERNEL(broadcast_to) {
  Sizes sizes = node.outputs[0].shape.sizes(), x = sizes_of(node.inputs[0]);
  Sizes strides = node.inputs[0].type().strides(), from(sizes.size());
  size_t added = sizes.size() - x.size();
  for (size_t d = 0; d < x.size(); ++d) from[d + added] = x[d] == 1 ? 0 : strides[d];
  return one_move(node, context, {.sizes = sizes, .from = from, .to = node.outputs[0].strides()});
}

WAFER_KERNEL(slice) {
  const auto& attrs = node.attr<SliceAttrs>();
  Move move{.sizes = node.outputs[0].shape.sizes(),
            .from = node.inputs[0].type().strides(),
            .to = node.outputs[0].strides()};
  for (size_t d = 0; d < move.sizes.size(); ++d) {
    move.from_offset += attrs.start[d] * move.from[d];
    move.from[d] *= attrs.step[d];
  }
  return one_move(node, context, std::move(move));
}

WAFER_KERNEL(flip) {
  Move move{.sizes = node.outputs[0].shape.sizes(),
            .from = node.inputs[0].type().strides(),
            .to = node.outputs[0].strides()};
  for (int64_t axis : node.attr<AxesAttrs>().axes) {
    auto d = static_cast<size_t>(axis);
    move.from_offset += (move.sizes[d] - 1) * move.from[d];
    move.from[d] = -move.from[d];
  }
  return one_move(node, context, std::move(move));
}

WAFER_KERNEL(pad) {
  const auto& attrs = node.attr<PadAttrs>();
  Sizes x = sizes_of(node.inputs[0]), y = node.outputs[0].shape.sizes();
  Move move{.sizes = {}, .from = node.inputs[0].type().strides(), .to = node.outputs[0].strides()};
  for (size_t d = 0; d < x.size(); ++d) {
    // Elements [first, last] of x lie inside y.
    int64_t step = attrs.interior[d] + 1, low = attrs.low[d];
    int64_t first = low >= 0 ? 0 : (-low + step - 1) / step;
    int64_t room = y[d] - 1 - low;
    int64_t last = room < 0 ? -1 : std::min(x[d] - 1, room / step);
    move.sizes.push_back(std::max<int64_t>(last - first + 1, 0));
    move.from_offset += first * move.from[d];
    move.to_offset += (low + first * step) * move.to[d];
    move.to[d] *= step;
  }
  const Type& type = node.outputs[0];
  std::vector<std::byte> value(byte_size(type.dtype, 1));
  visit(type.dtype, [&]<class T>(std::type_identity<T>) {
    T converted = convert<T>(attrs.value);
    std::memcpy(value.data(), &converted, sizeof converted);
  });
  Launch launch = make_move(node, context, type.dtype, std::move(move));
  return [launch, value, bytes = type.bytes()](const StepArgs& args) {
    launch.queue->fill(args.out[0], value.data(), value.size(), bytes);
    launch({args.in[0], args.out[0], nullptr});
  };
}

WAFER_KERNEL(concat) {
  auto axis = static_cast<size_t>(node.attr<AxisAttrs>().axis);
  Sizes strides = node.outputs[0].strides();
  std::vector<Launch> launches;
  int64_t start = 0;
  for (const Tensor& part : node.inputs) {
    Sizes sizes = sizes_of(part);
    launches.push_back(make_move(node, context, part.dtype(),
                                 {.sizes = sizes,
                                  .from = part.type().strides(),
                                  .to = strides,
                                  .to_offset = start * strides[axis]}));
    start += sizes[axis];
  }
  return [launches](const StepArgs& args) {
    for (size_t i = 0; i < launches.size(); ++i) launches[i]({args.in[i], args.out[0], nullptr});
  };
}

WAFER_KERNEL(dynamic_slice) {
  Sizes x = sizes_of(node.inputs[0]), y = node.outputs[0].shape.sizes();
  Sizes strides = node.inputs[0].type().strides(), limits;
  for (size_t d = 0; d < x.size(); ++d) limits.push_back(x[d] - y[d]);
  Launch launch = make_move(node, context, node.outputs[0].dtype,
                            {.sizes = y,
                             .from = strides,
                             .to = node.outputs[0].strides(),
                             .limits = limits,
                             .start_from = strides,
                             .start_to = Sizes(x.size())});
  return [launch](const StepArgs& args) { launch({args.in[0], args.out[0], args.in[1]}); };
}

WAFER_KERNEL(dynamic_update_slice) {
  Sizes update = sizes_of(node.inputs[1]), y = node.outputs[0].shape.sizes();
  Sizes strides = node.outputs[0].strides(), limits;
  for (size_t d = 0; d < y.size(); ++d) limits.push_back(y[d] - update[d]);
  Launch launch = make_move(node, context, node.outputs[0].dtype,
                            {.sizes = update,
                             .from = node.inputs[1].type().strides(),
                             .to = strides,
                             .limits = limits,
                             .start_from = Sizes(y.size()),
                             .start_to = strides});
  return [launch, bytes = node.outputs[0].bytes()](const StepArgs& args) {
    launch.queue->copy(args.out[0], args.in[0], bytes);
    launch({args.in[1], args.out[0], args.in[2]});
  };
}

}  // namespace wafer::kernel
