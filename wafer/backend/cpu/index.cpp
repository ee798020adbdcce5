#include "wafer/op/index.h"

#include <cstring>

#include "wafer/backend/cpu/convert.h"
#include "wafer/backend/cpu/lines.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/kernel.h"

namespace wafer::cpu {

namespace {
// The indices of a step, i32 or i64.
class Indices {
 public:
  Indices(const char* op, DType dtype, const void* data, int64_t size)
      : op_(op), wide_(dtype == DType::i64), data_(data), size_(size) {}
  // Entry i as one in [0, size).
  int64_t operator[](int64_t i) const {
    int64_t index =
        wide_ ? static_cast<const int64_t*>(data_)[i] : static_cast<const int32_t*>(data_)[i];
    if (index < -size_ || index >= size_) {
      throw UserError(op_,
                      str("index ", index, " is out of range for a dimension of size ", size_));
    }
    return index < 0 ? index + size_ : index;
  }

 private:
  const char* op_;
  bool wide_;
  const void* data_;
  int64_t size_;
};

template <class T>
constexpr bool is_half = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;

template <class T>
void add_to(T& sum, T value) {
  if constexpr (std::is_same_v<T, bool>) {
    sum = sum || value;
  } else if constexpr (std::is_integral_v<T>) {
    sum = static_cast<T>(static_cast<uint64_t>(sum) + static_cast<uint64_t>(value));
  } else {
    sum += value;
  }
}

// Adds updates [outer, indices, inner] to slices of sums [outer, size, inner], each element in the
// order of the indices: cut up along outer, or along inner where there is more of that.
template <class Sum, class T>
void add_slices(const Lines& x, int64_t count, const Indices& indices, const T* updates,
                Sum* sums) {
  auto add = [&](int64_t outer, int64_t first, int64_t last) {
    for (int64_t i = 0; i < count; ++i) {
      Sum* to = sums + (outer * x.size + indices[i]) * x.inner;
      const T* from = updates + (outer * count + i) * x.inner;
      for (int64_t j = first; j < last; ++j) add_to(to[j], static_cast<Sum>(from[j]));
    }
  };
  if (x.outer > x.inner) {
    parallel_for(x.outer, (1 << 13) / std::max<int64_t>(count * x.inner, 1) + 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t outer = begin; outer < end; ++outer) add(outer, 0, x.inner);
                 });
    return;
  }
  parallel_for(x.inner, (1 << 13) / std::max<int64_t>(count * x.outer, 1) + 16,
               [&](int64_t begin, int64_t end) {
                 for (int64_t outer = 0; outer < x.outer; ++outer) add(outer, begin, end);
               });
}

template <class T>
void copy_all(const T* from, T* to, int64_t count) {
  if (from == to) return;
  parallel_for(count, 1 << 16, [&](int64_t begin, int64_t end) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin) * sizeof(T));
  });
}

// Elements of a tensor of indices, and where each points in x: its own coordinates with the one
// along the axis replaced.
struct Pointed {
  Lines lines;  // of the indices' tensor around the axis
  std::vector<int64_t> sizes, x_strides;
  size_t axis;

  Pointed(const Type& indices, const Type& x, int64_t along)
      : lines(indices, along),
        sizes(indices.shape.sizes()),
        x_strides(x.strides()),
        axis(static_cast<size_t>(along < 0 ? along + x.shape.rank() : along)) {}

  // Offset in x of line `index`'s coordinates outside the axis.
  int64_t base(int64_t index) const {
    int64_t offset = 0;
    for (size_t d = sizes.size(); d-- > 0;) {
      if (d == axis) continue;
      offset += index % sizes[d] * x_strides[d];
      index /= sizes[d];
    }
    return offset;
  }
};
}  // namespace

WAFER_KERNEL(gather) {
  require_row_major(node);
  const Type &x = node.inputs[0].type(), &places = node.inputs[1].type();
  Lines lines(x, node.attr<AxisAttrs>().axis);
  int64_t count = places.elements(), element = static_cast<int64_t>(byte_size(x.dtype, 1));
  return [=, dtype = places.dtype](const StepArgs& args) {
    Indices indices("gather", dtype, args.in[1], lines.size);
    auto* from = static_cast<const std::byte*>(args.in[0]);
    auto* to = static_cast<std::byte*>(args.out[0]);
    int64_t bytes = lines.inner * element;
    parallel_for(lines.outer * count, (1 << 14) / std::max<int64_t>(bytes, 1) + 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     int64_t slice = i / count * lines.size + indices[i % count];
                     std::memcpy(to + i * bytes, from + slice * bytes, static_cast<size_t>(bytes));
                   }
                 });
  };
}

WAFER_KERNEL(scatter_add) {
  require_row_major(node);
  const Type &x = node.inputs[0].type(), &places = node.inputs[1].type();
  Lines lines(x, node.attr<AxisAttrs>().axis);
  int64_t count = places.elements(), elements = x.elements();
  bool half = x.dtype == DType::f16 || x.dtype == DType::bf16;
  if (half) context.scratch_bytes = static_cast<size_t>(elements) * sizeof(float);
  return [=, dtype = x.dtype, index_dtype = places.dtype](const StepArgs& args) {
    Indices indices("scatter_add", index_dtype, args.in[1], lines.size);
    visit(dtype, [&]<class T>(std::type_identity<T>) {
      if constexpr (is_half<T>) {
        auto* sums = reinterpret_cast<float*>(args.scratch);
        convert_from(dtype, args.in[0], sums, elements);
        add_slices(lines, count, indices, args.input<T>(2), sums);
        convert_to(dtype, sums, args.out[0], elements);
      } else {
        copy_all(args.input<T>(0), args.output<T>(0), elements);
        add_slices(lines, count, indices, args.input<T>(2), args.output<T>(0));
      }
    });
  };
}

WAFER_KERNEL(gather_elements) {
  require_row_major(node);
  const Type &x = node.inputs[0].type(), &places = node.inputs[1].type();
  Pointed pointed(places, x, node.attr<AxisAttrs>().axis);
  Lines from(x, node.attr<AxisAttrs>().axis);
  return [=, dtype = x.dtype, index_dtype = places.dtype](const StepArgs& args) {
    Indices indices("gather_elements", index_dtype, args.in[1], from.size);
    visit(dtype, [&]<class T>(std::type_identity<T>) {
      const T* values = args.input<T>(0);
      T* result = args.output<T>(0);
      over_lines(pointed.lines, [&](int64_t begin, int64_t end) {
        for (int64_t line = begin; line < end; ++line) {
          int64_t base = pointed.base(line), at = pointed.lines.start(line);
          for (int64_t i = 0; i < pointed.lines.size; ++i, at += pointed.lines.inner) {
            result[at] = values[base + indices[at] * from.inner];
          }
        }
      });
    });
  };
}

WAFER_KERNEL(scatter_elements) {
  require_row_major(node);
  const auto& attrs = node.attr<ScatterElementsAttrs>();
  const Type &x = node.inputs[0].type(), &places = node.inputs[1].type();
  Pointed pointed(places, x, attrs.axis);
  Lines to(x, attrs.axis);
  int64_t elements = x.elements();
  bool half = attrs.add && (x.dtype == DType::f16 || x.dtype == DType::bf16);
  if (half) context.scratch_bytes = static_cast<size_t>(elements) * sizeof(float);
  return [=, add = attrs.add, dtype = x.dtype, index_dtype = places.dtype](const StepArgs& args) {
    Indices indices("scatter_elements", index_dtype, args.in[1], to.size);
    // Two updates of one element lie on one line: lines are each one part's own.
    auto update = [&](const auto* updates, auto* result) {
      using Sum = std::remove_pointer_t<decltype(result)>;
      over_lines(pointed.lines, [&](int64_t begin, int64_t end) {
        for (int64_t line = begin; line < end; ++line) {
          int64_t base = pointed.base(line), at = pointed.lines.start(line);
          for (int64_t i = 0; i < pointed.lines.size; ++i, at += pointed.lines.inner) {
            Sum& target = result[base + indices[at] * to.inner];
            if (add) {
              if constexpr (!is_half<Sum>) add_to(target, static_cast<Sum>(updates[at]));
            } else {
              target = static_cast<Sum>(updates[at]);
            }
          }
        }
      });
    };
    visit(dtype, [&]<class T>(std::type_identity<T>) {
      if (half) {
        auto* sums = reinterpret_cast<float*>(args.scratch);
        convert_from(dtype, args.in[0], sums, elements);
        update(args.input<T>(2), sums);
        convert_to(dtype, sums, args.out[0], elements);
      } else {
        copy_all(args.input<T>(0), args.output<T>(0), elements);
        update(args.input<T>(2), args.output<T>(0));
      }
    });
  };
}

}  // namespace wafer::cpu
