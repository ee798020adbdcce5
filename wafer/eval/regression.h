#pragma once
#include <cstdint>

#include "wafer/eval/numbers.h"

namespace wafer::eval {

// Metrics of regression with scikit-learn's and scipy.stats' definitions, in the units of the
// target.
struct Regression {
  int64_t examples = 0;
  double mse = 0, rmse = 0, mae = 0;
  double median_absolute_error = 0, max_error = 0;
  // Mean of |error| / max(|target|, 2^-52), a fraction, not a percentage.
  double mean_absolute_percentage_error = 0;
  // For a constant target: 1 when every prediction is right, else 0. r2 is NaN for a single
  // example.
  double r2 = 0, explained_variance = 0;
  // NaN for a single example and where either side is constant.
  double pearson = 0, spearman = 0;
};

// UserError for an empty set, lengths that differ and numbers that are not finite.
Regression regression(Numbers predicted, Numbers target);

// Ranks from 1, equal values sharing the mean of their ranks.
std::vector<double> average_ranks(Numbers values);

}  // namespace wafer::eval
