#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "wafer/eval/numbers.h"

// Metrics of classification, with scikit-learn's definitions. Every function throws UserError for
// an empty set, lengths that differ, class indices out of range and scores that are not finite. A
// metric that is undefined for the given set (such as the ROC curve of a class without an example)
// is NaN.
namespace wafer::eval {

// Row-wise softmax in double, [rows, classes].
std::vector<double> softmax(const Scores& logits);

// The column with the highest score of each row; the first of equal ones, as numpy.argmax.
std::vector<int64_t> argmax(const Scores& scores);

// Share of predictions that equal their label.
double accuracy(Labels predicted, Labels labels);

// Share of rows whose label is among the k highest scores. Of equal scores the higher class index
// counts as the higher one, as in sklearn.metrics.top_k_accuracy_score (so k = 1 can differ from
// accuracy(argmax) on ties).
double top_k_accuracy(const Scores& scores, Labels labels, int64_t k);

struct ConfusionMatrix {
  int64_t classes = 0;
  std::vector<int64_t> counts;  // [true class, predicted class]

  int64_t operator()(int64_t label, int64_t predicted) const {
    return counts[static_cast<size_t>(label * classes + predicted)];
  }
  int64_t total() const;
  std::vector<int64_t> row_sums() const;     // examples of each class
  std::vector<int64_t> column_sums() const;  // predictions of each class
};

ConfusionMatrix confusion_matrix(Labels predicted, Labels labels, int64_t classes);

struct ClassMetrics {
  double precision = 0, recall = 0, f1 = 0;  // 0 where the denominator is 0
  int64_t support = 0;                       // examples of the class; the total for an average
};

std::vector<ClassMetrics> per_class_metrics(const ConfusionMatrix& matrix);

// macro: the plain mean over classes; weighted: the mean by support; micro: from the summed counts.
// Classes that occur neither as label nor as prediction are left out, as in scikit-learn when it is
// given no list of labels.
enum class Average { macro, micro, weighted };
ClassMetrics average_metrics(const ConfusionMatrix& matrix, Average average);

// Mean recall over the classes that have an example.
double balanced_accuracy(const ConfusionMatrix& matrix);

enum class KappaWeights { none, linear, quadratic };
// Cohen's kappa; NaN where chance agreement is already complete (a single class).
double cohen_kappa(const ConfusionMatrix& matrix, KappaWeights weights = KappaWeights::none);

// The multi-class correlation coefficient of Gorodkin (2004); 0 where it is undefined.
double matthews_correlation(const ConfusionMatrix& matrix);

struct RocCurve {
  // From the strictest threshold, infinity, down; points on a straight line are left out.
  std::vector<double> false_positive_rate, true_positive_rate, thresholds;
  double area = 0;  // NaN where a class is missing
};
// scores: higher for positive; positive: 1 or 0 for each score.
RocCurve roc_curve(Numbers scores, std::span<const uint8_t> positive);

struct PrecisionRecallCurve {
  // One point per distinct score, thresholds increasing, then the end point (precision 1, recall
  // 0), which has no threshold.
  std::vector<double> precision, recall, thresholds;
  double average_precision = 0;  // sum of precision times the gain in recall, without interpolation
};
PrecisionRecallCurve precision_recall_curve(Numbers scores, std::span<const uint8_t> positive);

// One class against the rest: that class's column of the scores, and 1 where the label is the
// class.
std::vector<double> class_scores(const Scores& scores, int64_t index);
std::vector<uint8_t> class_indicator(Labels labels, int64_t index);

// Area under the ROC curve of each class against the rest, [classes]; NaN where undefined.
std::vector<double> roc_auc_one_vs_rest(const Scores& scores, Labels labels);

// Mean negative log likelihood in nats; probabilities are clipped to [eps, 1 - eps], eps = 2^-52
// (that of double, whatever the type of the scores).
double log_loss(const Scores& probabilities, Labels labels);

// Mean over rows of the squared distance between probabilities and the one-hot label: 0..2, but
// halved to 0..1 for two classes, where it then equals the binary score (Brier 1950; sklearn's
// scale_by_half="auto").
double brier_score(const Scores& probabilities, Labels labels);
// Binary: mean squared difference of the positive class's probability and its 0/1 label, in 0..1.
double brier_score_binary(Numbers probabilities, std::span<const uint8_t> positive);

struct ReliabilityBin {
  double lower, upper;  // of the confidence, lower <= confidence < upper
  int64_t count = 0;
  double confidence = 0, accuracy = 0;  // means of the bin; 0 when it is empty
};
// Bins of equal width of the highest probability of each row. A confidence of exactly 1 falls in a
// last bin of its own, lower = upper = 1, present only when it is not empty (torchmetrics'
// convention).
std::vector<ReliabilityBin> reliability_bins(const Scores& probabilities, Labels labels,
                                             int64_t bins = 15);
// Expected calibration error, L1 norm (Guo et al. 2017): the mean by count of |accuracy -
// confidence|.
double expected_calibration_error(std::span<const ReliabilityBin> bins);

// Score interval of Wilson (1927) for `successes` of `total` at the given confidence level, in
// 0..1.
Interval wilson_interval(int64_t successes, int64_t total, double confidence = 0.95);

// Percentile bootstrap: `metric` of `resamples` draws of `count` row indices with replacement. Same
// seed, same interval. Draws where the metric is NaN are left out; NaN when all are.
Interval bootstrap_interval(int64_t count,
                            const std::function<double(std::span<const int64_t>)>& metric,
                            uint64_t seed, int64_t resamples = 1000, double confidence = 0.95);

// Everything above at once, for reports.
struct Classification {
  int64_t examples = 0, classes = 0;
  double accuracy = 0;
  Interval accuracy_interval{};  // Wilson, 95 %
  int64_t top_k = 0;  // the k of top_k_accuracy; 0 where there are too few classes for one
  double top_k_accuracy = 0;
  double log_loss = 0, brier = 0, calibration_error = 0;
  double balanced_accuracy = 0, kappa = 0, matthews = 0;
  double roc_auc_macro = 0;  // mean over the classes where it is defined; NaN where there is none
  double average_precision_macro = 0;  // mean over the classes that have an example
  ConfusionMatrix confusion;
  std::vector<ClassMetrics> per_class;
  ClassMetrics macro, micro, weighted;
  std::vector<RocCurve> roc;                           // [classes]
  std::vector<PrecisionRecallCurve> precision_recall;  // [classes]
  std::vector<ReliabilityBin> reliability;
};
// probabilities: rows that sum to 1. top_k applies where there are more than top_k classes.
Classification classification(const Scores& probabilities, Labels labels, int64_t top_k = 5);

}  // namespace wafer::eval
