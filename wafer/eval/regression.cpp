#include "wafer/eval/regression.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace wafer::eval {

namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

bool constant(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() < 2 || constant(x) || constant(y)) return NAN;
  double mean_x = mean(x), mean_y = mean(y), xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xy += dx * dy, xx += dx * dx, yy += dy * dy;
  }
  return std::clamp(xy / std::sqrt(xx) / std::sqrt(yy), -1.0, 1.0);
}

// 1 - residual / total, finite for a constant target.
double explained(double residual, double total) {
  if (total != 0) return 1 - residual / total;
  return residual == 0 ? 1 : 0;
}

double median(std::vector<double> values) {
  size_t middle = values.size() / 2;
  auto at = values.begin() + static_cast<std::ptrdiff_t>(middle);
  std::nth_element(values.begin(), at, values.end());
  if (values.size() % 2 == 1) return *at;
  return (*std::max_element(values.begin(), at) + *at) / 2;
}
}  // namespace

std::vector<double> average_ranks(Numbers values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0, end; begin < order.size(); begin = end) {
    end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    double rank = static_cast<double>(begin + end + 1) / 2;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

Regression regression(Numbers predicted, Numbers target) {
  require_same_length("regression", predicted.size(), target.size());
  require_finite("regression", "predictions", predicted);
  require_finite("regression", "targets", target);

  std::vector<double> y = target.copy(), p = predicted.copy(), error(y.size()), absolute(y.size());
  auto n = static_cast<double>(y.size());
  Regression result{.examples = static_cast<int64_t>(y.size())};
  for (size_t i = 0; i < y.size(); ++i) {
    error[i] = y[i] - p[i];
    absolute[i] = std::abs(error[i]);
    result.mse += error[i] * error[i] / n;
    result.mae += absolute[i] / n;
    result.mean_absolute_percentage_error +=
        absolute[i] / std::max(std::abs(y[i]), std::numeric_limits<double>::epsilon()) / n;
    result.max_error = std::max(result.max_error, absolute[i]);
  }
  result.rmse = std::sqrt(result.mse);

  double mean_target = mean(y), mean_error = mean(error), total = 0, residual = 0, spread = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    total += (y[i] - mean_target) * (y[i] - mean_target);
    residual += error[i] * error[i];
    spread += (error[i] - mean_error) * (error[i] - mean_error);
  }
  if (constant(y)) total = 0;  // the mean of equal numbers may be off by a rounding
  result.r2 = y.size() < 2 ? NAN : explained(residual, total);
  result.explained_variance = explained(spread, total);
  result.pearson = correlation(p, y);
  result.spearman = correlation(average_ranks(predicted), average_ranks(target));
  result.median_absolute_error = median(std::move(absolute));
  return result;
}

}  // namespace wafer::eval
