#include "wafer/op/reduce.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "wafer/backend/cpu/grain.h"
#include "wafer/backend/cpu/simd/block.h"
#include "wafer/backend/cpu/simd/reduce.h"
#include "wafer/base/threads.h"
#include "wafer/kernel/program.h"
#include "wafer/runtime/kernel.h"

// Reductions in the order in which the input lies in memory, whatever its layout. The split of the
// work depends on the shape alone, so results do not depend on the number of threads.
namespace wafer::cpu {

namespace {

using kernel::Compute;

constexpr int64_t column_block = 512;
constexpr int64_t buffer_elements = 2048;

union Total {
  double real;
  int64_t whole;
  uint64_t natural;
};

template <class T>
T initial(Reduction op) {
  using Limits = std::numeric_limits<T>;
  switch (op) {
    case Reduction::sum: return 0;
    case Reduction::prod: return 1;
    case Reduction::max: return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    default: return Limits::has_infinity ? Limits::infinity() : Limits::max();
  }
}
Total initial_total(Reduction op, Compute type) {
  Total total;
  if (type == Compute::i64)
    total.whole = initial<int64_t>(op);
  else if (type == Compute::u64)
    total.natural = initial<uint64_t>(op);
  else
    total.real = initial<double>(op);
  return total;
}

// One dimension of the input in memory order; strides in elements.
struct Dimension {
  int64_t size = 1, in = 0, out = 0;
  bool reduced = false;
};

class Reducer {
 public:
  Reducer(const Node& node, Reduction op)
      : op_(op), dtype_(node.outputs[0].dtype), from_(node.inputs[0].dtype()) {
    type_ = kernel::compute_of(from_);
    if (type_ == Compute::boolean) type_ = Compute::i64;
    // What totals of f32 are combined as.
    Compute total_type = type_ == Compute::f32 ? Compute::f64 : type_;
    run_ = reduce_run_kernel()(op, type_);
    rows_ = reduce_rows_kernel()(op, type_);
    combine_ = reduce_rows_kernel()(op, total_type);
    load_ = load_function_kernel()(from_, type_);
    store_ = dtype_ == DType::boolean ? nullptr : store_function_kernel()(type_, dtype_);
    WAFER_CHECK(run_ && rows_ && load_ && (store_ || dtype_ == DType::boolean), node.op->name,
                " of ", from_);
    converts_ =
        !(from_ == DType::f32 || from_ == DType::f64 || from_ == DType::i64 || from_ == DType::u64);
    element_bytes_ = byte_size(from_, 1);
    out_bytes_ = byte_size(dtype_, 1);
    compute_bytes_ = type_ == Compute::f32 ? 4 : 8;
    first_ = initial_total(op, type_);
    plan(node);
  }

  size_t scratch_bytes() const {
    return parts_ > 1 ? static_cast<size_t>(outputs_ * parts_ * width_) * sizeof(Total) : 0;
  }

  void run(const StepArgs& args) const {
    if (outputs_ == 0) return;
    auto* partial = reinterpret_cast<Total*>(args.scratch);
    int64_t work = std::max<int64_t>(1, reduced_ * width_ / parts_);
    parallel_for(outputs_ * parts_, std::max<int64_t>(1, grain_elements / work),
                 [&](int64_t begin, int64_t end) {
                   Total totals[column_block];
                   for (int64_t task = begin; task < end; ++task) {
                     int64_t output = task / parts_, part = task % parts_;
                     Total* into = parts_ > 1 ? partial + task * width_ : totals;
                     reduce_part(args.in[0], output, part, into);
                     if (parts_ == 1) write(args.out[0], output, into);
                   }
                 });
    if (parts_ == 1) return;
    for (int64_t output = 0; output < outputs_; ++output) {
      Total* totals = partial + output * parts_ * width_;
      combine_(totals + width_, width_, parts_ - 1, width_, totals);
      write(args.out[0], output, totals);
    }
  }

 private:
  // Memory order, without dimensions of 1, neighbours joined where both sides allow it.
  void plan(const Node& node) {
    const Type &in = node.inputs[0].type(), &out = node.outputs[0];
    std::vector<int64_t> sizes = in.shape.sizes(), in_strides = in.strides(),
                         out_strides = out.strides();
    std::vector<Dimension> all;
    for (size_t d = 0, kept = 0; d < sizes.size(); ++d) {
      const auto& axes = node.attr<ReduceAttrs>().axes;
      bool reduced = std::find(axes.begin(), axes.end(), static_cast<int64_t>(d)) != axes.end();
      int64_t out_stride = reduced ? 0 : out_strides[kept++];
      if (sizes[d] != 1) all.push_back({sizes[d], in_strides[d], out_stride, reduced});
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Dimension& a, const Dimension& b) { return a.in > b.in; });
    std::vector<Dimension> joined;
    for (const Dimension& next : all) {
      bool joins = !joined.empty() && joined.back().reduced == next.reduced &&
                   joined.back().in == next.in * next.size &&
                   (next.reduced || joined.back().out == next.out * next.size);
      if (joins)
        joined.back() = {joined.back().size * next.size, next.in, next.out, next.reduced};
      else
        joined.push_back(next);
    }
    if (joined.empty()) joined.push_back({1, 1, 1, false});
    by_rows_ = !joined.back().reduced;
    if (by_rows_) {
      columns_ = joined.back();
      joined.pop_back();
    }
    for (const Dimension& dimension : joined)
      (dimension.reduced ? reduced_dims_ : kept_dims_).push_back(dimension);
    if (reduced_dims_.empty()) reduced_dims_.push_back({1, 0, 0, true});
    reduced_ = 1;
    outputs_ = 1;
    for (const Dimension& dimension : reduced_dims_) reduced_ *= dimension.size;
    for (const Dimension& dimension : kept_dims_) outputs_ *= dimension.size;
    width_ = 1;
    if (by_rows_) {
      width_ = std::min(columns_.size, column_block);
      // Two or more tasks where the columns are all there is to split and partial sums are not.
      column_tasks_ = width_ == 0 ? 0 : (columns_.size + width_ - 1) / width_;
      outputs_ *= column_tasks_;
    }
    if (outputs_ == 0) return;
    int64_t elements = outputs_ * width_ * reduced_;
    if (outputs_ < 8 && elements >= 2 * grain_elements) {
      parts_ = std::min({most_parts, elements / grain_elements, reduced_});
    }
  }

  // Offsets of an output in the input and the output, and the number of its columns.
  struct Position {
    int64_t in = 0, out = 0, width = 1;
  };
  Position position(int64_t output) const {
    Position at;
    if (by_rows_) {
      int64_t first = output % column_tasks_ * width_;
      output /= column_tasks_;
      at.width = std::min(width_, columns_.size - first);
      at.in = first * columns_.in;
      at.out = first * columns_.out;
    }
    for (size_t d = kept_dims_.size(); d-- > 0;) {
      int64_t index = output % kept_dims_[d].size;
      output /= kept_dims_[d].size;
      at.in += index * kept_dims_[d].in;
      at.out += index * kept_dims_[d].out;
    }
    return at;
  }

  void reduce_part(const void* in, int64_t output, int64_t part, Total* totals) const {
    std::fill_n(totals, width_, first_);
    Position at = position(output);
    const Dimension& inner = reduced_dims_.back();
    int64_t next = reduced_ * part / parts_, end = reduced_ * (part + 1) / parts_;
    while (next < end) {
      int64_t index = next % inner.size, rest = next / inner.size;
      int64_t offset = at.in + index * inner.in;
      for (size_t d = reduced_dims_.size() - 1; d-- > 0;) {
        offset += rest % reduced_dims_[d].size * reduced_dims_[d].in;
        rest /= reduced_dims_[d].size;
      }
      int64_t count = std::min(end - next, inner.size - index);
      auto* from =
          static_cast<const std::byte*>(in) + offset * static_cast<int64_t>(element_bytes_);
      if (by_rows_)
        reduce_rows_at(from, count, inner.in, at.width, totals);
      else
        reduce_run_at(from, count, totals);
      next += count;
    }
  }

  void reduce_run_at(const std::byte* from, int64_t count, Total* total) const {
    if (!converts_) return run_(from, count, total);
    alignas(64) std::byte buffer[buffer_elements * 8];
    while (count > 0) {
      int64_t n = std::min(count, buffer_elements);
      load_(buffer, from, 1, n);
      run_(buffer, n, total);
      from += n * static_cast<int64_t>(element_bytes_);
      count -= n;
    }
  }

  void reduce_rows_at(const std::byte* from, int64_t count, int64_t stride, int64_t width,
                      Total* totals) const {
    if (!converts_) return rows_(from, stride, count, width, totals);
    alignas(64) std::byte buffer[buffer_elements * 8];
    int64_t most = buffer_elements / width;
    auto row_bytes = stride * static_cast<int64_t>(element_bytes_);
    while (count > 0) {
      int64_t n = std::min(count, most);
      if (stride == width) {
        load_(buffer, from, 1, n * width);
      } else {
        for (int64_t r = 0; r < n; ++r)
          load_(buffer + static_cast<size_t>(r * width) * compute_bytes_, from + r * row_bytes, 1,
                width);
      }
      rows_(buffer, width, n, width, totals);
      from += n * row_bytes;
      count -= n;
    }
  }

  void write(void* out, int64_t output, const Total* totals) const {
    Position at = position(output);
    auto* to = static_cast<std::byte*>(out) + at.out * static_cast<int64_t>(out_bytes_);
    int64_t stride = by_rows_ ? columns_.out : 1;
    if (dtype_ == DType::boolean) {
      for (int64_t j = 0; j < at.width; ++j) to[j * stride] = std::byte{totals[j].natural != 0};
      return;
    }
    float singles[column_block];
    const void* values = totals;
    if (type_ == Compute::f32) {
      for (int64_t j = 0; j < at.width; ++j) singles[j] = static_cast<float>(totals[j].real);
      values = singles;
    }
    if (stride == 1) return store_(to, values, at.width);
    for (int64_t j = 0; j < at.width; ++j)
      store_(to + j * stride * static_cast<int64_t>(out_bytes_),
             static_cast<const std::byte*>(values) + static_cast<size_t>(j) * compute_bytes_, 1);
  }

  Reduction op_;
  DType dtype_, from_;
  Compute type_ = Compute::f32;
  ReduceRun run_ = nullptr;
  ReduceRows rows_ = nullptr, combine_ = nullptr;
  LoadFunction load_ = nullptr;
  StoreFunction store_ = nullptr;
  bool converts_ = false, by_rows_ = false;
  size_t element_bytes_ = 0, out_bytes_ = 0, compute_bytes_ = 0;
  Total first_{};
  Dimension columns_;
  std::vector<Dimension> kept_dims_, reduced_dims_;
  int64_t reduced_ = 1, outputs_ = 1, width_ = 1, column_tasks_ = 1, parts_ = 1;
};

Step reduction(const Node& node, KernelContext& context, Reduction op) {
  auto reducer = std::make_shared<const Reducer>(node, op);
  context.scratch_bytes = reducer->scratch_bytes();
  context.kernel = str("vector:", name(isa()));
  return [reducer](const StepArgs& args) { reducer->run(args); };
}
}  // namespace

WAFER_KERNEL(reduce_sum) {
  return reduction(node, context, Reduction::sum);
}
WAFER_KERNEL(reduce_prod) {
  return reduction(node, context, Reduction::prod);
}
WAFER_KERNEL(reduce_max) {
  return reduction(node, context, Reduction::max);
}
WAFER_KERNEL(reduce_min) {
  return reduction(node, context, Reduction::min);
}

}  // namespace wafer::cpu
