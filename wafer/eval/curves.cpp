// The part of classification.h that reads scores: curves, calibration, intervals.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "wafer/base/error.h"
#include "wafer/base/philox.h"
#include "wafer/eval/classification.h"

namespace wafer::eval {

namespace {

// Counts of positives and negatives with a score of at least each distinct threshold, thresholds
// decreasing.
struct Cumulative {
  std::vector<double> true_positives, false_positives, thresholds;
};

Cumulative cumulative(const char* where, Numbers scores, std::span<const uint8_t> positive) {
  require_same_length(where, scores.size(), positive.size());
  require_finite(where, "scores", scores);
  std::vector<std::pair<double, uint8_t>> sorted(scores.size());
  for (size_t i = 0; i < sorted.size(); ++i) sorted[i] = {scores[i], positive[i]};
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  Cumulative result;
  double hits = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    hits += sorted[i].second != 0;
    if (i + 1 < sorted.size() && sorted[i + 1].first == sorted[i].first) continue;
    result.true_positives.push_back(hits);
    result.false_positives.push_back(static_cast<double>(i + 1) - hits);
    result.thresholds.push_back(sorted[i].first);
  }
  return result;
}

double bend(const std::vector<double>& y, size_t i) {
  return y[i + 1] - 2 * y[i] + y[i - 1];
}

void require_probabilities(const std::string& where, Numbers values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] >= 0 && values[i] <= 1)) {
      throw UserError(where, "a probability lies outside 0..1",
                      {.got = str(values[i], " at position ", i),
                       .hint = "turn logits into probabilities with eval::softmax first"});
    }
  }
}

void require_distribution(const std::string& where, const Scores& probabilities, Labels labels) {
  require_same_length(where, static_cast<size_t>(probabilities.rows()), labels.size());
  require_labels(where, "labels", labels, probabilities.classes);
  require_probabilities(where, probabilities.values);
}
}  // namespace

RocCurve roc_curve(Numbers scores, std::span<const uint8_t> positive) {
  auto [hits, misses, thresholds] = cumulative("roc_curve", scores, positive);
  RocCurve curve{.false_positive_rate = {0},
                 .true_positive_rate = {0},
                 .thresholds = {std::numeric_limits<double>::infinity()}};
  double positives = hits.back(), negatives = misses.back();
  for (size_t i = 0; i < hits.size(); ++i) {
    bool inner = i > 0 && i + 1 < hits.size();
    if (inner && bend(hits, i) == 0 && bend(misses, i) == 0) continue;
    curve.false_positive_rate.push_back(misses[i]);
    curve.true_positive_rate.push_back(hits[i]);
    curve.thresholds.push_back(thresholds[i]);
  }
  for (double& rate : curve.false_positive_rate) rate = negatives > 0 ? rate / negatives : NAN;
  for (double& rate : curve.true_positive_rate) rate = positives > 0 ? rate / positives : NAN;
  curve.area = trapezoid_area(curve.false_positive_rate, curve.true_positive_rate);
  return curve;
}

PrecisionRecallCurve precision_recall_curve(Numbers scores, std::span<const uint8_t> positive) {
  auto [hits, misses, thresholds] = cumulative("precision_recall_curve", scores, positive);
  PrecisionRecallCurve curve;
  for (size_t i = hits.size(); i-- > 0;) {
    curve.precision.push_back(hits[i] / (hits[i] + misses[i]));
    curve.recall.push_back(hits.back() > 0 ? hits[i] / hits.back() : 1);
    curve.thresholds.push_back(thresholds[i]);
  }
  curve.precision.push_back(1);
  curve.recall.push_back(0);
  for (size_t i = 0; i + 1 < curve.recall.size(); ++i) {
    curve.average_precision += (curve.recall[i] - curve.recall[i + 1]) * curve.precision[i];
  }
  return curve;
}

std::vector<double> class_scores(const Scores& scores, int64_t index) {
  WAFER_CHECK(index >= 0 && index < scores.classes);
  std::vector<double> column(static_cast<size_t>(scores.rows()));
  for (size_t i = 0; i < column.size(); ++i) column[i] = scores(static_cast<int64_t>(i), index);
  return column;
}

std::vector<uint8_t> class_indicator(Labels labels, int64_t index) {
  std::vector<uint8_t> result(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) result[i] = labels[i] == index;
  return result;
}

std::vector<double> roc_auc_one_vs_rest(const Scores& scores, Labels labels) {
  require_labels("roc_auc_one_vs_rest", "labels", labels, scores.classes);
  std::vector<double> areas;
  for (int64_t c = 0; c < scores.classes; ++c) {
    areas.push_back(roc_curve(class_scores(scores, c), class_indicator(labels, c)).area);
  }
  return areas;
}

double log_loss(const Scores& probabilities, Labels labels) {
  require_distribution("log_loss", probabilities, labels);
  constexpr double eps = std::numeric_limits<double>::epsilon();
  double sum = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    sum -= std::log(std::clamp(probabilities(static_cast<int64_t>(i), labels[i]), eps, 1 - eps));
  }
  return sum / static_cast<double>(labels.size());
}

double brier_score(const Scores& probabilities, Labels labels) {
  require_distribution("brier_score", probabilities, labels);
  double sum = 0;
  for (int64_t row = 0; row < probabilities.rows(); ++row) {
    for (int64_t c = 0; c < probabilities.classes; ++c) {
      double error = probabilities(row, c) - (labels[static_cast<size_t>(row)] == c ? 1 : 0);
      sum += error * error;
    }
  }
  if (probabilities.classes < 3) sum /= 2;
  return sum / static_cast<double>(labels.size());
}

double brier_score_binary(Numbers probabilities, std::span<const uint8_t> positive) {
  require_same_length("brier_score", probabilities.size(), positive.size());
  require_probabilities("brier_score", probabilities);
  double sum = 0;
  for (size_t i = 0; i < positive.size(); ++i) {
    double error = probabilities[i] - (positive[i] ? 1 : 0);
    sum += error * error;
  }
  return sum / static_cast<double>(positive.size());
}

std::vector<ReliabilityBin> reliability_bins(const Scores& probabilities, Labels labels,
                                             int64_t bins) {
  require_distribution("reliability_bins", probabilities, labels);
  if (bins < 1) {
    throw UserError("reliability_bins", "too few bins",
                    {.got = str(bins), .expected = "1 or more"});
  }
  std::vector<ReliabilityBin> result;
  double width = 1 / static_cast<double>(bins);
  for (int64_t i = 0; i < bins; ++i) {
    double upper = i + 1 == bins ? 1 : static_cast<double>(i + 1) * width;
    result.push_back({.lower = static_cast<double>(i) * width, .upper = upper});
  }
  result.push_back({.lower = 1, .upper = 1});
  auto predicted = argmax(probabilities);
  for (size_t i = 0; i < labels.size(); ++i) {
    double confidence = probabilities(static_cast<int64_t>(i), predicted[i]);
    auto after =
        std::upper_bound(result.begin(), result.end(), confidence,
                         [](double c, const ReliabilityBin& bin) { return c < bin.lower; });
    ReliabilityBin& bin = *std::prev(after);
    ++bin.count;
    bin.confidence += confidence;
    bin.accuracy += predicted[i] == labels[i];
  }
  if (result.back().count == 0) result.pop_back();
  for (auto& bin : result) {
    if (bin.count == 0) continue;
    bin.confidence /= static_cast<double>(bin.count);
    bin.accuracy /= static_cast<double>(bin.count);
  }
  return result;
}

double expected_calibration_error(std::span<const ReliabilityBin> bins) {
  double sum = 0;
  int64_t total = 0;
  for (const auto& bin : bins) {
    sum += static_cast<double>(bin.count) * std::abs(bin.accuracy - bin.confidence);
    total += bin.count;
  }
  return total == 0 ? NAN : sum / static_cast<double>(total);
}

Interval wilson_interval(int64_t successes, int64_t total, double confidence) {
  if (total < 1 || successes < 0 || successes > total) {
    throw UserError("wilson_interval", "successes must lie between 0 and a total of at least 1",
                    {.got = str(successes, " of ", total)});
  }
  double z = normal_quantile(0.5 + confidence / 2);
  auto n = static_cast<double>(total);
  double share = static_cast<double>(successes) / n, scale = 1 + z * z / n;
  double center = (share + z * z / (2 * n)) / scale;
  double half = z / scale * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return {successes == 0 ? 0 : center - half, successes == total ? 1 : center + half};
}

Interval bootstrap_interval(int64_t count,
                            const std::function<double(std::span<const int64_t>)>& metric,
                            uint64_t seed, int64_t resamples, double confidence) {
  if (count < 1 || resamples < 1) {
    throw UserError("bootstrap_interval", "needs at least one example and one resample",
                    {.got = str(count, " examples, ", resamples, " resamples")});
  }
  RandomStream random(seed);
  std::vector<int64_t> draw(static_cast<size_t>(count));
  std::vector<double> values;
  for (int64_t i = 0; i < resamples; ++i) {
    for (int64_t& index : draw) index = random.below(static_cast<uint32_t>(count));
    double value = metric(draw);
    if (!std::isnan(value)) values.push_back(value);
  }
  if (values.empty()) return {NAN, NAN};
  std::sort(values.begin(), values.end());
  auto quantile = [&](double q) {  // linear between order statistics, as numpy.quantile
    double at = q * static_cast<double>(values.size() - 1);
    auto below = static_cast<size_t>(at);
    size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {quantile((1 - confidence) / 2), quantile((1 + confidence) / 2)};
}

}  // namespace wafer::eval
