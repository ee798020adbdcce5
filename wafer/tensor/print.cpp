#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

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

void print_dim(const std::vector<int64_t>& sizes, size_t dim, int64_t offset, bool shorten,
               const std::function<std::string(int64_t)>& element, const std::string& indent,
               std::string& text) {
  if (dim == sizes.size()) {
    text += element(offset);
    return;
  }
  int64_t stride = 1;
  for (size_t d = dim + 1; d < sizes.size(); ++d) stride *= sizes[d];
  bool last = dim + 1 == sizes.size();
  std::string separator =
      last ? ", " : "," + std::string(sizes.size() - dim - 1, '\n') + indent + " ";
  text += "[";
  bool first = true;
  shown(sizes[dim], shorten, [&](int64_t i) {
    if (!first) text += separator;
    first = false;
    if (i < 0)
      text += "...";
    else
      print_dim(sizes, dim + 1, offset + i * stride, shorten, element, indent + " ", text);
  });
  text += "]";
}

}  // namespace

std::string Tensor::text() const {
  if (!*this) return "tensor(empty)";
  if (!shape().is_static()) return str("tensor(traced ", type(), ")");
  std::vector<std::byte> bytes = host_bytes();
  std::vector<int64_t> sizes = shape().sizes();
  int64_t count = elements();
  std::vector<double> values;
  visit(dtype(), [&]<class T>(std::type_identity<T>) {
    auto* data = reinterpret_cast<const T*>(bytes.data());
    for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(data[i]));
  });
  NumberFormat format(values);
  bool floating = is_floating(dtype());
  auto element = [&](int64_t i) -> std::string {
    double value = values[static_cast<size_t>(i)];
    if (dtype() == DType::boolean) return value != 0 ? "true" : "false";
    if (!floating) {
      return visit(dtype(), [&]<class T>(std::type_identity<T>) {
        return str(+reinterpret_cast<const T*>(bytes.data())[i]);
      });
    }
    return format(value);
  };
  // Columns line up: every element as wide as the widest.
  size_t width = 0;
  bool shorten = count > 1000;
  if (!shorten && !sizes.empty()) {
    for (int64_t i = 0; i < count; ++i) width = std::max(width, element(i).size());
  }
  auto padded = [&](int64_t i) {
    std::string text = element(i);
    return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
  };
  std::string text = "tensor(";
  print_dim(sizes, 0, 0, shorten, padded, std::string(7, ' '), text);
  if (count == 0) text += str(", size=(", shape(), ")");
  if (dtype() != DType::f32 && dtype() != DType::i64 && dtype() != DType::boolean)
    text += str(", dtype=", dtype());
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << tensor.text();
}

}  // namespace wafer
