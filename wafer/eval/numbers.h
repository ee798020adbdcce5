#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace wafer::eval {

// Borrowed numbers of either float type, read as double: metrics are computed in double.
class Numbers {
 public:
  Numbers() = default;
  Numbers(std::span<const float> values) : floats_(values.data()), size_(values.size()) {}
  Numbers(std::span<const double> values) : doubles_(values.data()), size_(values.size()) {}
  Numbers(const std::vector<float>& values) : Numbers(std::span<const float>(values)) {}
  Numbers(const std::vector<double>& values) : Numbers(std::span<const double>(values)) {}

  size_t size() const { return size_; }
  double operator[](size_t i) const {
    return floats_ ? static_cast<double>(floats_[i]) : doubles_[i];
  }
  std::vector<double> copy() const;

 private:
  const float* floats_ = nullptr;
  const double* doubles_ = nullptr;
  size_t size_ = 0;
};

// Borrowed row-major scores [rows, classes]: logits or probabilities.
struct Scores {
  Scores() = default;
  // UserError when the number of values is not a multiple of `classes`.
  Scores(Numbers values, int64_t classes);

  int64_t rows() const { return classes == 0 ? 0 : static_cast<int64_t>(values.size()) / classes; }
  double operator()(int64_t row, int64_t column) const {
    return values[static_cast<size_t>(row * classes + column)];
  }

  Numbers values;
  int64_t classes = 0;
};

using Labels = std::span<const int64_t>;  // class indices, [rows]

// Refuse what no metric is defined for: nothing to measure, lengths that differ, numbers that are
// not finite, labels outside 0..classes-1. `where` names the metric in the error.
void require_finite(const std::string& where, const char* what, Numbers values);
void require_labels(const std::string& where, const char* what, Labels labels, int64_t classes);
void require_same_length(const std::string& where, size_t predictions, size_t targets);

struct Interval {
  double lower, upper;
};

// The x with P(N(0,1) <= x) = probability, to the last bits; probability in (0, 1).
double normal_quantile(double probability);

// Area under a piecewise linear curve (trapezoids); x increasing or decreasing, at least two
// points.
double trapezoid_area(std::span<const double> x, std::span<const double> y);

}  // namespace wafer::eval
