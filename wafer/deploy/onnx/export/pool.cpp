#include "wafer/op/pool.h"

#include <limits>

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/window.h"
#include "wafer/op/op.h"

namespace wafer::onnx::exporter {

namespace {
template <class A>
Settings window(const A& a) {
  Ints pads = a.padding_low;
  pads.insert(pads.end(), a.padding_high.begin(), a.padding_high.end());
  return {{"kernel_shape", a.kernel}, {"strides", a.stride}, {"pads", pads}};
}

bool dilated(const Ints& dilation) {
  for (int64_t d : dilation)
    if (d != 1) return true;
  return false;
}

// For each place of the output (spatial, row-major) the index in the input's spatial plane of each
// window element: base + sum of what the element adds. Places in the padding count on as if the
// plane went on, which no winner does.
template <class A>
Ints window_bases(const A& a, const Ints& in, const Ints& out) {
  Ints bases(static_cast<size_t>(product(out)));
  for (size_t place = 0; place < bases.size(); ++place) {
    auto rest = static_cast<int64_t>(place);
    int64_t base = 0, stride = 1;
    for (size_t i = in.size(); i-- > 0;) {
      base += (rest % out[i] * a.stride[i] - a.padding_low[i]) * stride;
      rest /= out[i];
      stride *= in[i];
    }
    bases[place] = base;
  }
  return bases;
}
template <class A>
Ints window_offsets(const A& a, const Ints& in) {
  Ints offsets(static_cast<size_t>(product(a.kernel)));
  for (size_t element = 0; element < offsets.size(); ++element) {
    auto rest = static_cast<int64_t>(element);
    int64_t offset = 0, stride = 1;
    for (size_t i = in.size(); i-- > 0;) {
      offset += rest % a.kernel[i] * a.dilation[i] * stride;
      rest /= a.kernel[i];
      stride *= in[i];
    }
    offsets[element] = offset;
  }
  return offsets;
}

Ref spatial_constant(Emitter& e, const Ints& values, const Ints& sizes) {
  return e.constant(Tensor::from_values(values, Shape(sizes)));
}

// The winners' places within their windows from ONNX's indices, which count through the whole
// tensor: what of the index the window's first element leaves is one of the offsets.
Ref winners(Emitter& e, const Node& node, const Ref& indices) {
  const auto& a = node.attr<PoolAttrs>();
  Ints in = spatial_sizes(node.inputs[0].shape()), out = spatial_sizes(node.outputs[0].shape);
  Ref plane = e.op("Mod", {indices, e.integer(product(in))}, DType::i64);
  Ref bases = spatial_constant(e, window_bases(a, in, out), out);
  Ref offset = e.unsqueeze(e.op("Sub", {plane, bases}, DType::i64), {node.outputs[0].shape.rank()});
  Ref found = e.op("Equal", {offset, e.ints(window_offsets(a, in))}, DType::boolean);
  Ref place =
      e.op("ArgMax", {e.cast(found, DType::i32)}, DType::i64, {{"axis", -1}, {"keepdims", 0}});
  return e.cast(place, node.outputs[1].dtype);
}

Settings with_dilation(const PoolAttrs& a) {
  Settings settings = window(a);
  if (dilated(a.dilation)) settings.emplace_back("dilations", a.dilation);
  return settings;
}

bool is_64_bits(DType dtype) {
  return dtype == DType::i64 || dtype == DType::u64;
}

// The greatest of shifted slices of the padded input: MaxPool has no integers of 64 bits.
Ref greatest_of_slices(Emitter& e, const Node& node) {
  const auto& a = node.attr<PoolAttrs>();
  const Shape &shape = node.inputs[0].shape(), &y = node.outputs[0].shape;
  Ref x = e.in(node.inputs[0]);
  Ints pads(static_cast<size_t>(shape.rank()) * 2, 0), axes;
  for (size_t i = 0; i < a.kernel.size(); ++i) {
    pads[i + 2] = a.padding_low[i];
    pads[static_cast<size_t>(shape.rank()) + i + 2] = a.padding_high[i];
    axes.push_back(static_cast<int64_t>(i) + 2);
  }
  Ref least =
      x.dtype == DType::u64 ? e.scalar(0, x.dtype) : e.integer(std::numeric_limits<int64_t>::min());
  Ref padded = e.op("Pad", {x, e.ints(pads), least}, x.dtype);
  Refs slices;
  for (int64_t element = 0; element < product(a.kernel); ++element) {
    Ints starts(axes.size()), ends(axes.size());
    int64_t rest = element;
    for (size_t i = axes.size(); i-- > 0;) {
      starts[i] = rest % a.kernel[i] * a.dilation[i];
      ends[i] = starts[i] + (y.size(static_cast<int>(i) + 2) - 1) * a.stride[i] + 1;
      rest /= a.kernel[i];
    }
    slices.push_back(e.slice(padded, starts, ends, axes, a.stride));
  }
  return e.op("Max", slices, x.dtype);
}

Refs max_pool(Emitter& e, const Node& node) {
  const auto& a = node.attr<PoolAttrs>();
  DType dtype = node.inputs[0].dtype();
  if (is_64_bits(dtype)) return {greatest_of_slices(e, node), {}};
  Ref x = e.in(node.inputs[0]);
  if (!e.reads(node, 1)) return {e.same("MaxPool", {x}, with_dilation(a)), {}};
  DType computed = e.computed_in("MaxPool", dtype);
  Refs y = e.ops("MaxPool", {e.cast(x, computed)}, {computed, DType::i64}, with_dilation(a));
  return {e.cast(y[0], dtype), winners(e, node, y[1])};
}

// Each gradient added to its window's winner, plane by plane.
Refs max_pool_gradient(Emitter& e, const Node& node) {
  const auto& a = node.attr<PoolGradientAttrs>();
  const Shape& x = node.outputs[0].shape;
  const Shape& y = node.inputs[0].shape();
  Ints in = spatial_sizes(x), out = spatial_sizes(y);
  Ref gradient = e.in(node.inputs[0]);
  Ref winner = e.cast(e.in(node.inputs[1]), DType::i64);
  Ref offset = e.op("Gather", {e.ints(window_offsets(a, in)), winner}, DType::i64, {{"axis", 0}});
  Ref bases = spatial_constant(e, window_bases(a, in, out), out);
  Ref index = e.op("Add", {offset, bases}, DType::i64);
  DType computed =
      gradient.dtype == DType::bf16 || gradient.dtype == DType::f16 ? DType::f32 : gradient.dtype;
  Shape flat({y[0], y[1], Dim(product(out))}), plane({x[0], x[1], Dim(product(in))});
  Ref zeros = e.op("Expand", {e.scalar(0, computed), e.shape(plane)}, computed);
  Ref updates = e.reshape(e.cast(gradient, computed), flat);
  Ref sum = e.op("ScatterElements", {zeros, e.reshape(index, flat), updates}, computed,
                 {{"axis", 2}, {"reduction", "add"}});
  return {e.cast(e.reshape(sum, x), gradient.dtype)};
}

// How many elements each window divides by, [spatial...].
template <class A>
Ref divisors(Emitter& e, const A& a, const Ints& in, const Ints& out, DType dtype) {
  std::vector<double> counts(static_cast<size_t>(product(out)));
  for (size_t place = 0; place < counts.size(); ++place) {
    auto rest = static_cast<int64_t>(place);
    int64_t count = 1;
    for (size_t i = in.size(); i-- > 0;) {
      int64_t first = rest % out[i] * a.stride[i] - a.padding_low[i], inside = 0;
      rest /= out[i];
      for (int64_t k = 0; k < a.kernel[i]; ++k) {
        int64_t at = first + k * a.dilation[i];
        inside += a.count_padding || (at >= 0 && at < in[i]);
      }
      count *= inside;
    }
    counts[place] = static_cast<double>(count);
  }
  return e.cast(e.constant(Tensor::from_values(counts, Shape(out))), dtype);
}

// Each plane's gradient, divided, spread over its windows: a ConvTranspose with ones.
Refs avg_pool_gradient(Emitter& e, const Node& node) {
  const auto& a = node.attr<PoolGradientAttrs>();
  const Shape &x = node.outputs[0].shape, &y = node.inputs[0].shape();
  Ints in = spatial_sizes(x), out = spatial_sizes(y), extra, weight = {1, 1};
  Ref gradient = e.in(node.inputs[0]);
  DType dtype = e.computed_in("ConvTranspose", gradient.dtype);
  Ref shares = e.op("Div", {e.cast(gradient, dtype), divisors(e, a, in, out, dtype)}, dtype);
  std::vector<Dim> planes = {y[0] * y[1], Dim(1)};
  for (size_t i = 0; i < in.size(); ++i) {
    planes.emplace_back(out[i]);
    weight.push_back(a.kernel[i]);
    int64_t whole = (out[i] - 1) * a.stride[i] + a.dilation[i] * (a.kernel[i] - 1) + 1;
    extra.push_back(in[i] + a.padding_low[i] + a.padding_high[i] - whole);
  }
  Settings settings = window(a);
  settings.emplace_back("dilations", a.dilation);
  settings.emplace_back("output_padding", extra);
  Ref spread = e.op("ConvTranspose", {e.reshape(shares, Shape(planes)), e.ones(weight, dtype)},
                    dtype, settings);
  return {e.cast(e.reshape(spread, x), gradient.dtype)};
}

// Operators before set 19 have no dilations: then a mean is a convolution of its plane with ones.
Refs avg_pool(Emitter& e, const Node& node) {
  const auto& a = node.attr<PoolAttrs>();
  Ref x = e.in(node.inputs[0]);
  if (e.opset() >= 19 || !dilated(a.dilation)) {
    Settings settings = with_dilation(a);
    settings.emplace_back("count_include_pad", a.count_padding ? 1 : 0);
    return {e.same("AveragePool", {x}, settings)};
  }
  const Shape &in = node.inputs[0].shape(), &out = node.outputs[0].shape;
  DType dtype = e.computed_in("Conv", x.dtype);
  std::vector<Dim> planes = {in[0] * in[1], Dim(1)};
  Ints weight = {1, 1};
  for (size_t i = 0; i < a.kernel.size(); ++i) {
    planes.push_back(in[static_cast<int>(i) + 2]);
    weight.push_back(a.kernel[i]);
  }
  Ref sum = e.op("Conv", {e.cast(e.reshape(x, Shape(planes)), dtype), e.ones(weight, dtype)}, dtype,
                 with_dilation(a));
  Ref mean =
      e.op("Div", {sum, divisors(e, a, spatial_sizes(in), spatial_sizes(out), dtype)}, dtype);
  return {e.cast(e.reshape(mean, out), x.dtype)};
}

std::string refuses_max_pool(const Node& node, int64_t, const Used& used) {
  DType dtype = node.inputs[0].dtype();
  bool lacks = is_64_bits(dtype) && used[1];
  return lacks ? str("MaxPool finds no places of elements of ", dtype, "; cast to i32 first") : "";
}

const RuleEntry pool_table[] = {
    {&op::max_pool, "MaxPool", max_pool, refuses_max_pool},
    {&op::max_pool_gradient, "ScatterElements", max_pool_gradient},
    {&op::avg_pool, "AveragePool", avg_pool},
    {&op::avg_pool_gradient, "ConvTranspose", avg_pool_gradient},
};
}  // namespace

RuleList pool_rules() {
  return pool_table;
}

}  // namespace wafer::onnx::exporter
