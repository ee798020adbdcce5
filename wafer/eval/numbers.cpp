#include "wafer/eval/numbers.h"

#include <cmath>
#include <numbers>

#include "wafer/base/error.h"

namespace wafer::eval {

std::vector<double> Numbers::copy() const {
  std::vector<double> result(size_);
  for (size_t i = 0; i < size_; ++i) result[i] = (*this)[i];
  return result;
}

Scores::Scores(Numbers values, int64_t classes) : values(values), classes(classes) {
  if (classes < 1) {
    throw UserError("scores", "the number of classes must be at least 1", {.got = str(classes)});
  }
  if (values.size() % static_cast<size_t>(classes) != 0) {
    throw UserError("scores", "the scores do not form whole rows",
                    {.got = str(values.size(), " values"),
                     .expected = str("a multiple of the ", classes, " classes")});
  }
}

void require_finite(const std::string& where, const char* what, Numbers values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw UserError(where, str("the ", what, " hold a number that is not finite"),
                      {.got = str(values[i], " at position ", i), .expected = "finite numbers"});
    }
  }
}

void require_labels(const std::string& where, const char* what, Labels labels, int64_t classes) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= classes) {
      throw UserError(where, str("a class index of the ", what, " is out of range"),
                      {.got = str(labels[i], " at position ", i),
                       .expected = str("0 to ", classes - 1, " for ", classes, " classes")});
    }
  }
}

void require_same_length(const std::string& where, size_t predictions, size_t targets) {
  if (predictions != targets) {
    throw UserError(where, "predictions and targets differ in number",
                    {.got = str(predictions, " predictions and ", targets, " targets")});
  }
  if (targets == 0) {
    throw UserError(where, "there is nothing to measure: the set is empty",
                    {.expected = "at least one example"});
  }
}

double normal_quantile(double probability) {
  if (!(probability > 0 && probability < 1)) {
    throw UserError("normal_quantile", "a probability must lie between 0 and 1, both excluded",
                    {.got = str(probability)});
  }
  if (probability > 0.5) return -normal_quantile(1 - probability);
  // Newton's method on the distribution function from below the root, where it is convex: monotone.
  double x = -std::sqrt(-2 * std::log(probability));
  for (int i = 0; i < 100; ++i) {
    double error = 0.5 * std::erfc(-x / std::numbers::sqrt2) - probability;
    double density = std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    double step = error / density;
    x -= step;
    if (std::abs(step) <= 1e-15 * std::abs(x)) break;
  }
  return x;
}

double trapezoid_area(std::span<const double> x, std::span<const double> y) {
  WAFER_CHECK(x.size() == y.size() && x.size() >= 2);
  double area = 0;
  for (size_t i = 1; i < x.size(); ++i) area += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
  return std::abs(area);
}

}  // namespace wafer::eval
