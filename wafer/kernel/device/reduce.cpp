#include "wafer/op/reduce.h"

#include <algorithm>

#include "wafer/kernel/device/session.h"
#include "wafer/op/op.h"

// Reductions: a work item makes one element of the result, or on a CPU sixteen neighbours where
// those lie side by side in the input; on a GPU neighbouring work items read neighbours then. Where
// there are few results each is made in parts, which a second launch adds up. Sums run in eight
// lanes or blocks of 64 terms, so that their errors stay small.
namespace wafer::kernel {

namespace {
using Sizes = std::vector<int64_t>;

// p: results, parts, terms, inner size and stride of the reduced dimensions, rank of the kept and
// of the outer reduced dimensions, whether results lie side by side; from 8 on in eights: sizes and
// strides of the kept ones, sizes and strides of the outer reduced ones. With columns: results are
// groups of up to 16 of p[7] columns.
constexpr std::string_view reduce_source = R"(
WF_FUNCTION WF_I64 place(int number, int rank, const WF_GLOBAL WF_I64* sizes,
                         const WF_GLOBAL WF_I64* strides) {
  WF_I64 at = 0;
  for (int d = rank - 1; d >= 0; --d) {
    int size = (int)sizes[d];
    at += (number % size) * strides[d];
    number /= size;
  }
  return at;
}
WF_FUNCTION Y_C run(const WF_GLOBAL X_T* x, int count, WF_I64 stride) {
  Y_C lanes[8];
  for (int l = 0; l < 8; ++l) lanes[l] = INITIAL;
  int j = 0;
  if (stride == 1) {
    for (; j + 8 <= count; j += 8)
      for (int l = 0; l < 8; ++l) lanes[l] = COMBINE(lanes[l], (Y_C)X_LOAD(x, j + l));
  } else {
    for (; j + 8 <= count; j += 8)
      for (int l = 0; l < 8; ++l) lanes[l] = COMBINE(lanes[l], (Y_C)X_LOAD(x, (j + l) * stride));
  }
  for (; j < count; ++j) lanes[0] = COMBINE(lanes[0], (Y_C)X_LOAD(x, j * stride));
  for (int l = 1; l < 8; ++l) lanes[0] = COMBINE(lanes[0], lanes[l]);
  return lanes[0];
}
WF_KERNEL reduce(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  int results = (int)p[0], parts = (int)p[1], terms = (int)p[2], inner = (int)p[3];
  int each = (terms + parts - 1) / parts;
  WF_LOOP(t, results * parts) {
    int part = p[7] ? t / results : t % parts, result = p[7] ? t % results : t / parts;
    int k = part * each, end = min(k + each, terms);
    const WF_GLOBAL X_T* from = x + place(result, (int)p[5], p + 8, p + 16);
    Y_C total = INITIAL;
    while (k < end) {
      int row = k / inner, column = k % inner, count = min(inner - column, end - k);
      Y_C sum = run(from + place(row, (int)p[6], p + 24, p + 32) + column * p[4], count, p[4]);
      total = COMBINE(total, sum);
      k += count;
    }
    Y_STORE(y, result * parts + part, total);
  }
}
WF_KERNEL reduce_columns(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  int groups = (int)p[0], parts = (int)p[1], terms = (int)p[2], columns = (int)p[7];
  int each = (terms + parts - 1) / parts, across = (columns + 15) / 16;
  WF_LOOP(t, groups * parts) {
    int part = t % parts, group = t / parts, k = part * each, end = min(k + each, terms);
    int column = group % across * 16, width = min(columns - column, 16);
    const WF_GLOBAL X_T* from = x + place(group / across, (int)p[5], p + 8, p + 16) + column;
    Y_C totals[16], sums[16];
    for (int j = 0; j < 16; ++j) totals[j] = INITIAL;
    while (k < end) {
      int stop = min(end, k + 64);
      for (int j = 0; j < 16; ++j) sums[j] = INITIAL;
      for (; k < stop; ++k) {
        const WF_GLOBAL X_T* row = from + place(k, (int)p[6], p + 24, p + 32);
        if (width == 16) {
          for (int j = 0; j < 16; ++j) sums[j] = COMBINE(sums[j], (Y_C)X_LOAD(row, j));
        } else {
          for (int j = 0; j < width; ++j) sums[j] = COMBINE(sums[j], (Y_C)X_LOAD(row, j));
        }
      }
      for (int j = 0; j < 16; ++j) totals[j] = COMBINE(totals[j], sums[j]);
    }
    for (int j = 0; j < width; ++j)
      Y_STORE(y, ((group / across) * columns + column + j) * parts + part, totals[j]);
  }
}
)";

struct Dimensions {
  Sizes sizes, strides;

  // Adds an inner dimension, joined with the one before where both walk as one.
  void add(int64_t size, int64_t stride) {
    if (size == 1) return;
    if (!sizes.empty() && strides.back() == size * stride) {
      sizes.back() *= size;
      strides.back() = stride;
    } else {
      sizes.push_back(size);
      strides.push_back(stride);
    }
  }
  int64_t count() const {
    int64_t product = 1;
    for (int64_t size : sizes) product *= size;
    return product;
  }
};

struct Operation {
  const char* combine;  // of a and b
  std::string initial;
};

Operation operation_of(const Node& node, DType computed) {
  bool real = is_floating(computed), wide = computed == DType::f64;
  std::string suffix = wide ? "double" : "float";
  if (node.is(op::reduce_sum)) return {"((a) + (b))", "0"};
  if (node.is(op::reduce_prod)) return {"((a) * (b))", "1"};
  bool greatest = node.is(op::reduce_max);
  if (real) {
    const char* combine = greatest ? (wide ? "wf_maximum_double(a, b)" : "wf_maximum_float(a, b)")
                                   : (wide ? "wf_minimum_double(a, b)" : "wf_minimum_float(a, b)");
    return {combine, greatest ? "-WF_INFINITY" : "WF_INFINITY"};
  }
  const char* combine = greatest ? "max(a, b)" : "min(a, b)";
  if (computed == DType::i64) return {combine, greatest ? "WF_I64_MIN" : "WF_I64_MAX"};
  return {combine, greatest ? "(WF_U64)0" : "WF_U64_MAX"};
}

std::string source_for(const KernelContext& context, const Operation& operation, DType x, DType y) {
  bool f64 = x == DType::f64 || y == DType::f64;
  return library_source(context,
                        str("#define COMBINE(a, b) ", operation.combine, "\n#define INITIAL ((Y_C)",
                            operation.initial, ")\n", words("X", x), words("Y", y)),
                        reduce_source, f64);
}

void put(Sizes& p, size_t at, const Sizes& values) {
  std::copy(values.begin(), values.end(), p.begin() + static_cast<std::ptrdiff_t>(at));
}

Step reduction(const Node& node, KernelContext& context) {
  const Type &x = node.inputs[0].type(), &y = node.outputs[0];
  Sizes sizes = x.shape.sizes(), strides = x.strides();
  std::vector<bool> is_reduced(sizes.size());
  for (int64_t axis : node.attr<ReduceAttrs>().axes) is_reduced[static_cast<size_t>(axis)] = true;
  Dimensions kept, reduced;
  for (size_t d = 0; d < sizes.size(); ++d)
    (is_reduced[d] ? reduced : kept).add(sizes[d], strides[d]);
  if (y.layout == Layout::channels_last) {
    WAFER_CHECK(y.shape.rank() < 3, "a reduction to channels-last");
  }
  DType computed = computed_in(y.dtype);
  Operation operation = operation_of(node, computed);
  const Capabilities& device = session_of(context).queue().capabilities();
  int64_t results = y.elements(), terms = reduced.count();
  bool side_by_side = !kept.sizes.empty() && kept.strides.back() == 1;
  bool columns = device.is_cpu && side_by_side && kept.sizes.back() >= 8 && results > 0;
  int64_t width = columns ? kept.sizes.back() : 1;
  if (columns) {
    kept.sizes.pop_back();
    kept.strides.pop_back();
  }
  int64_t groups = columns ? kept.count() * ((width + 15) / 16) : results;
  // Enough work items for the device, none of fewer than 2048 terms.
  int64_t wanted = device.is_cpu ? int64_t{2} * device.units : int64_t{256} * device.units;
  int64_t least = device.is_cpu ? 2048 : 64;
  int64_t parts = 1;
  if (groups > 0 && groups < wanted)
    parts = std::clamp<int64_t>(std::min(wanted / groups, terms / least), 1, 4096);
  if (parts > 1) {  // none is empty
    int64_t each = (terms + parts - 1) / parts;
    parts = (terms + each - 1) / each;
  }

  Sizes p(40);
  Dimensions outer = reduced;
  int64_t inner = 1, inner_stride = 1;
  if (!columns && !outer.sizes.empty()) {
    inner = outer.sizes.back();
    inner_stride = outer.strides.back();
    outer.sizes.pop_back();
    outer.strides.pop_back();
  }
  put(p, 0,
      {groups, parts, terms, std::max<int64_t>(inner, 1), inner_stride,
       static_cast<int64_t>(kept.sizes.size()), static_cast<int64_t>(outer.sizes.size()),
       columns ? width : side_by_side});
  put(p, 8, kept.sizes);
  put(p, 16, kept.strides);
  put(p, 24, outer.sizes);
  put(p, 32, outer.strides);
  context.kernel = columns ? "reduce_columns" : "reduce";
  DType first_result = parts > 1 ? computed : y.dtype;
  int64_t cost = std::max<int64_t>(terms / parts * (columns ? 16 : 1), 1);
  Launch first = make_launch(node, context, source_for(context, operation, x.dtype, first_result),
                             columns ? "reduce_columns" : "reduce", p, groups * parts,
                             std::max<int64_t>(4096 / cost, 1));
  if (parts == 1) return [first](const StepArgs& args) { first({args.in[0], args.out[0]}); };

  context.scratch_bytes = byte_size(computed, results * parts);
  Sizes q(40);
  put(q, 0, {results, 1, parts, parts, 1, 1, 0, 0});
  put(q, 8, {results});
  put(q, 16, {parts});
  Launch second = make_launch(node, context, source_for(context, operation, computed, y.dtype),
                              "reduce", q, results, 256);
  return [first, second](const StepArgs& args) {
    first({args.in[0], args.scratch});
    second({args.scratch, args.out[0]});
  };
}
}  // namespace

WAFER_KERNEL(reduce_sum) {
  return reduction(node, context);
}
WAFER_KERNEL(reduce_prod) {
  return reduction(node, context);
}
WAFER_KERNEL(reduce_max) {
  return reduction(node, context);
}
WAFER_KERNEL(reduce_min) {
  return reduction(node, context);
}

}  // namespace wafer::kernel
