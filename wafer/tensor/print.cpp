#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "wafer/base/strings.h"
#include "wafer/ir/node.h"
#include "wafer/ir/tensor.h"

namespace wafer {

namespace {

// How PyTorch prints numbers: whole floats as "1.", others with four digits after the point, or in
// scientific notation when the range is wide.
struct NumberFormat {
  bool whole = true, scientific = false;

  explicit NumberFormat(const std::vector<double>& values) {
    double least = INFINITY, greatest = 0;
    for (double value : values) {
      if (!std::isfinite(value)) continue;
      whole = whole && value == std::nearbyint(value);
      if (value != 0) least = std::min(least, std::fabs(value));
      greatest = std::max(greatest, std::fabs(value));
    }
    if (greatest > 0)
      scientific = greatest / least > 1000 || greatest > 1e8 || (!whole && least < 1e-4);
    if (whole) scientific = greatest > 1e8;
  }

  std::string operator()(double value) const {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    char text[40];
    std::snprintf(text, sizeof text, scientific ? "%.4e" : whole ? "%.0f." : "%.4f", value);
    return text;
  }
};

// Calls emit(index) for the places of one dimension that are shown: all, or three at each end.
void shown(int64_t size, bool shorten, const std::function<void(int64_t)>& emit) {
  for (int64_t i = 0; i < size; ++i) {
    if (shorten && size > 6 && i == 3) {
      emit(-1);
      i = size - 3;
    }
    emit(i);
  }
}

// The flat indices of all elements that are shown, in order.
void collect_shown(const std::vector<int64_t>& sizes, size_t dim, int64_t offset, bool shorten,
                   std::vector<int64_t>& indices) {
  if (dim == sizes.size()) {
    indices.push_back(offset);
    return;
  }
  shown(sizes[dim], shorten, [&](int64_t i) {
    if (i >= 0) collect_shown(sizes, dim + 1, offset * sizes[dim] + i, shorten, indices);
  });
}

struct Printer {
  const std::vector<int64_t>& sizes;
  bool shorten;
  size_t width;  // of an element
  std::function<std::string(int64_t)> element;

  // The innermost brackets, broken into lines of at most 80 characters.
  std::string row(int64_t offset, size_t indent) const {
    size_t columns = std::max<size_t>(1, (indent < 80 ? 80 - indent : 0) / (width + 2));
    std::string text = "[";
    size_t count = 0;
    shown(sizes.back(), shorten, [&](int64_t i) {
      if (count > 0) text += count % columns == 0 ? ",\n" + std::string(indent + 1, ' ') : ", ";
      text += i < 0 ? " ..." : element(offset * sizes.back() + i);
      ++count;
    });
    return text + "]";
  }

  std::string block(size_t dim, int64_t offset, size_t indent) const {
    if (dim == sizes.size()) return element(offset);
    if (dim + 1 == sizes.size()) return row(offset, indent);
    std::string separator =
        "," + std::string(sizes.size() - dim - 1, '\n') + std::string(indent + 1, ' ');
    std::string text = "[";
    bool first = true;
    shown(sizes[dim], shorten, [&](int64_t i) {
      if (!first) text += separator;
      first = false;
      text += i < 0 ? "..." : block(dim + 1, offset * sizes[dim] + i, indent + 1);
    });
    return text + "]";
  }
};

}  // namespace

std::string Tensor::text() const {
  if (!*this) return "tensor(empty)";
  if (!shape().is_static()) return str("tensor(traced ", type(), ")");
  std::vector<std::byte> bytes = host_bytes();
  std::vector<int64_t> sizes = shape().sizes();
  int64_t count = elements();
  bool shorten = count > 1000;
  std::vector<int64_t> indices;
  if (count > 0) collect_shown(sizes, 0, 0, shorten, indices);
  auto value = [&](int64_t i) {
    return visit(dtype(), [&]<class T>(std::type_identity<T>) {
      return static_cast<double>(reinterpret_cast<const T*>(bytes.data())[i]);
    });
  };
  std::vector<double> values;
  for (int64_t i : indices) values.push_back(value(i));
  NumberFormat format(values);
  auto element = [&](int64_t i) -> std::string {
    if (dtype() == DType::boolean) return value(i) != 0 ? "True" : "False";
    if (is_floating(dtype())) return format(value(i));
    return visit(dtype(), [&]<class T>(std::type_identity<T>) {
      return str(+reinterpret_cast<const T*>(bytes.data())[i]);
    });
  };
  // Columns line up: every element as wide as the widest.
  size_t width = 0;
  if (!sizes.empty()) {
    // As PyTorch: what is not finite does not widen the columns.
    for (int64_t i : indices) {
      if (std::isfinite(value(i))) width = std::max(width, element(i).size());
    }
  }
  auto padded = [&](int64_t i) {
    std::string text = element(i);
    return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
  };
  std::string text = "tensor(";
  text += count == 0 ? "[]" : Printer{sizes, shorten, width, padded}.block(0, 0, text.size());
  if (count == 0 && sizes.size() > 1) {
    std::vector<std::string> words;
    for (int64_t size : sizes) words.push_back(std::to_string(size));
    text += ", size=(" + join(words, ", ") + ")";
  }
  bool usual = dtype() == DType::f32 || dtype() == DType::i64 || dtype() == DType::boolean;
  if (!usual) text += str(", dtype=", dtype());
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << tensor.text();
}

}  // namespace wafer
