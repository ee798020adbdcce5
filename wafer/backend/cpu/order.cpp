#include <algorithm>
#include <vector>

#include "wafer/backend/cpu/lines.h"
#include "wafer/op/index.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/runtime/kernel.h"

// Ops that run along one axis in order: sort, argmax, argmin, cumsum.
namespace wafer::cpu {

namespace {
// a comes before b, NaN after every number.
template <class T>
bool precedes(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return a < b;
  } else {
    auto left = static_cast<std::conditional_t<(sizeof(T) < 4), float, T>>(a);
    auto right = static_cast<decltype(left)>(b);
    return right != right ? left == left : left < right;
  }
}

template <class T>
void sort_lines(const Lines& lines, bool descending, const T* x, T* values, int64_t* indices) {
  struct Entry {
    T value;
    int64_t index;
  };
  over_lines(lines, [&](int64_t begin, int64_t end) {
    std::vector<Entry> entries(static_cast<size_t>(lines.size));
    for (int64_t line = begin; line < end; ++line) {
      int64_t start = lines.start(line);
      for (int64_t i = 0; i < lines.size; ++i) {
        entries[static_cast<size_t>(i)] = {x[start + i * lines.inner], i};
      }
      if (descending) {
        std::stable_sort(entries.begin(), entries.end(),
                         [](const Entry& a, const Entry& b) { return precedes(b.value, a.value); });
      } else {
        std::stable_sort(entries.begin(), entries.end(),
                         [](const Entry& a, const Entry& b) { return precedes(a.value, b.value); });
      }
      for (int64_t i = 0; i < lines.size; ++i) {
        const Entry& entry = entries[static_cast<size_t>(i)];
        if (values != nullptr) values[start + i * lines.inner] = entry.value;
        if (indices != nullptr) indices[start + i * lines.inner] = entry.index;
      }
    }
  });
}

// wins(a, b): a takes the place of b. The first of equals stays; the first NaN stays for good.
template <class T, class Wins>
void arg_lines(const Lines& lines, const T* x, int64_t* result, const Wins& wins) {
  over_lines(lines, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const T* at = x + lines.start(line);
      int64_t best = 0;
      for (int64_t i = 1; i < lines.size; ++i) {
        if (wins(at[i * lines.inner], at[best * lines.inner])) best = i;
      }
      result[line] = best;
    }
  });
}

template <class T>
bool is_nan(T value) {
  if constexpr (std::is_integral_v<T>) {
    return false;
  } else {
    return value != value;
  }
}

Step make_arg(const Node& node, bool greatest) {
  require_row_major(node);
  Lines lines(node.inputs[0].type(), node.attr<AxisAttrs>().axis);
  return [=, dtype = node.inputs[0].dtype()](const StepArgs& args) {
    visit(dtype, [&]<class T>(std::type_identity<T>) {
      const T* x = args.input<T>(0);
      auto* result = args.output<int64_t>(0);
      if (greatest) {
        arg_lines(lines, x, result, [](T a, T b) { return precedes(b, a); });
      } else {
        arg_lines(lines, x, result,
                  [](T a, T b) { return is_nan(a) ? !is_nan(b) : precedes(a, b) && !is_nan(b); });
      }
    });
  };
}
}  // namespace

WAFER_KERNEL(sort) {
  require_row_major(node);
  const auto& attrs = node.attr<SortAttrs>();
  Lines lines(node.inputs[0].type(), attrs.axis);
  return [=, descending = attrs.descending, dtype = node.inputs[0].dtype()](const StepArgs& args) {
    visit(dtype, [&]<class T>(std::type_identity<T>) {
      sort_lines(lines, descending, args.input<T>(0), args.output<T>(0), args.output<int64_t>(1));
    });
  };
}

WAFER_KERNEL(argmax) {
  return make_arg(node, true);
}
WAFER_KERNEL(argmin) {
  return make_arg(node, false);
}

WAFER_KERNEL(cumsum) {
  require_row_major(node);
  Lines lines(node.inputs[0].type(), node.attr<AxisAttrs>().axis);
  return [=, dtype = node.outputs[0].dtype](const StepArgs& args) {
    visit(dtype, [&]<class T>(std::type_identity<T>) {
      using Sum = typename decltype(sum_type<T>())::type;
      const T* x = args.input<T>(0);
      T* y = args.output<T>(0);
      over_lines(lines, [&](int64_t begin, int64_t end) {
        for (int64_t line = begin; line < end; ++line) {
          int64_t at = lines.start(line);
          Sum sum{};
          for (int64_t i = 0; i < lines.size; ++i, at += lines.inner) {
            sum += static_cast<Sum>(x[at]);
            y[at] = static_cast<T>(sum);
          }
        }
      });
    });
  };
}

}  // namespace wafer::cpu
