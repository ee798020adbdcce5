#pragma once
#include <algorithm>
#include <vector>

#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/convert.h"
#include "wafer/backend/cpu/strided_copy.h"
#include "wafer/base/threads.h"

// What this library's own convolutions share: their sizes, and their operands as f32 in the order
// that they read.
namespace wafer::cpu::own {

// Everything in three spatial dimensions, the missing ones in front.
struct Geometry {
  int64_t batch, groups, in_channels, out_channels;  // channels of all groups
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, low[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};

  explicit Geometry(const ConvProblem& p)
      : batch(p.x.shape.size(0)),
        groups(p.groups),
        in_channels(p.x.shape.size(1)),
        out_channels(p.y.shape.size(1)) {
    for (size_t i = 0; i < p.spatial(); ++i) {
      size_t d = 3 - p.spatial() + i;
      auto axis = static_cast<int>(i) + 2;
      in[d] = p.x.shape.size(axis);
      out[d] = p.y.shape.size(axis);
      kernel[d] = p.weight.shape.size(axis);
      stride[d] = p.stride[i];
      low[d] = p.padding_low[i];
      dilation[d] = p.dilation[i];
    }
  }
  int64_t in_positions() const { return in[0] * in[1] * in[2]; }
  int64_t out_positions() const { return out[0] * out[1] * out[2]; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t in_group() const { return in_channels / groups; }
  int64_t out_group() const { return out_channels / groups; }
  int64_t depth() const { return taps() * in_group(); }
  // A window is one input position: no matrix of windows is needed.
  bool pointwise() const {
    bool plain = taps() == 1;
    for (int d = 0; d < 3; ++d) plain = plain && stride[d] == 1 && low[d] == 0 && in[d] == out[d];
    return plain;
  }
};

// An operand in f32 and the order that the kernels here read: as it is, or converted into scratch.
struct Operand {
  Type type, f32_type;  // as given; the same in f32
  StridedCopy order;    // between f32_type and the wanted order
  bool converts = false, reorders = false;
  int64_t elements = 0;
  size_t converted_at = 0, ordered_at = 0;  // offsets in scratch

  Operand(const Type& given, const std::vector<int64_t>& wanted_strides, size_t& scratch)
      : type(given), f32_type(given), elements(given.elements()) {
    f32_type.dtype = DType::f32;
    converts = type.dtype != DType::f32;
    reorders = type.strides() != wanted_strides;
    auto reserve = [&] {
      size_t at = scratch;
      scratch += (static_cast<size_t>(elements) * sizeof(float) + 63) / 64 * 64;
      return at;
    };
    if (converts) converted_at = reserve();
    if (reorders) ordered_at = reserve();
  }
  static float* at(std::byte* scratch, size_t offset) {
    return reinterpret_cast<float*>(scratch + offset);
  }
};

struct Source : Operand {
  Source(const Type& given, const std::vector<int64_t>& wanted, size_t& scratch)
      : Operand(given, wanted, scratch) {
    if (reorders) order = StridedCopy(4, given.shape.sizes(), wanted, given.strides());
  }
  const float* get(const void* data, std::byte* scratch) const {
    auto* values = static_cast<const float*>(data);
    if (converts) {
      convert_from(type.dtype, data, at(scratch, converted_at), elements);
      values = at(scratch, converted_at);
    }
    if (!reorders) return values;
    order.run(at(scratch, ordered_at), values);
    return at(scratch, ordered_at);
  }
};

struct Sink : Operand {
  Sink(const Type& given, const std::vector<int64_t>& wanted, size_t& scratch)
      : Operand(given, wanted, scratch) {
    if (reorders) order = StridedCopy(4, given.shape.sizes(), given.strides(), wanted);
  }
  // Where the kernel writes.
  float* target(void* data, std::byte* scratch) const {
    if (reorders) return at(scratch, ordered_at);
    return converts ? at(scratch, converted_at) : static_cast<float*>(data);
  }
  void finish(void* data, std::byte* scratch) const {
    float* values = converts ? at(scratch, converted_at) : static_cast<float*>(data);
    if (reorders) order.run(values, at(scratch, ordered_at));
    if (converts) convert_to(type.dtype, values, data, elements);
  }
};

inline std::vector<int64_t> channels_last(const Type& type) {
  Type last = type;
  last.layout = Layout::channels_last;
  return last.strides();
}

// Everything f32 and the images channels-last, as kernels that convert nothing want it, and neither
// image empty.
inline bool is_f32_channels_last(const ConvProblem& p) {
  for (const Type* type : {&p.x, &p.weight, &p.y}) {
    if (type->dtype != DType::f32) return false;
  }
  for (const Type* image : {&p.x, &p.y}) {
    if (image->elements() == 0 || image->strides() != channels_last(*image)) return false;
  }
  return true;
}

// Strides of a weight [out, in / groups, kernel...] stored as [group][tap][in / groups][out /
// groups]; only for one group are these strides, so each group is a matrix of all outputs.
inline std::vector<int64_t> by_tap(const Type& weight) {
  std::vector<int64_t> sizes = weight.shape.sizes(), strides(sizes.size());
  strides[0] = 1;
  strides[1] = sizes[0];
  int64_t stride = sizes[0] * sizes[1];
  for (size_t d = sizes.size(); d-- > 2;) {
    strides[d] = stride;
    stride *= sizes[d];
  }
  return strides;
}

// Calls body(part, begin, end) for each part's share of `count`, in parallel.
template <class Body>
void over_parts(int parts, int64_t count, const Body& body) {
  parallel_for(parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) {
      body(part, count * part / parts, count * (part + 1) / parts);
    }
  });
}

}  // namespace wafer::cpu::own
