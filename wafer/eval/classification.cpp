#include "wafer/eval/classification.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "wafer/base/error.h"

namespace wafer::eval {

namespace {

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

ClassMetrics metrics_of(int64_t hits, int64_t predicted, int64_t support) {
  return {.precision = ratio(hits, predicted),
          .recall = ratio(hits, support),
          // 2 TP / (2 TP + FP + FN): exact also where precision and recall are both 0.
          .f1 = ratio(2 * hits, predicted + support),
          .support = support};
}
}  // namespace

std::vector<double> softmax(const Scores& logits) {
  require_finite("softmax", "scores", logits.values);
  std::vector<double> result(logits.values.size());
  for (int64_t row = 0; row < logits.rows(); ++row) {
    double highest = logits(row, 0), sum = 0;
    for (int64_t c = 1; c < logits.classes; ++c) highest = std::max(highest, logits(row, c));
    double* out = result.data() + row * logits.classes;
    for (int64_t c = 0; c < logits.classes; ++c) sum += out[c] = std::exp(logits(row, c) - highest);
    for (int64_t c = 0; c < logits.classes; ++c) out[c] /= sum;
  }
  return result;
}

std::vector<int64_t> argmax(const Scores& scores) {
  require_finite("argmax", "scores", scores.values);
  std::vector<int64_t> result(static_cast<size_t>(scores.rows()));
  for (int64_t row = 0; row < scores.rows(); ++row) {
    int64_t best = 0;
    for (int64_t c = 1; c < scores.classes; ++c) {
      if (scores(row, c) > scores(row, best)) best = c;
    }
    result[static_cast<size_t>(row)] = best;
  }
  return result;
}

double accuracy(Labels predicted, Labels labels) {
  require_same_length("accuracy", predicted.size(), labels.size());
  int64_t hits = 0;
  for (size_t i = 0; i < labels.size(); ++i) hits += predicted[i] == labels[i];
  return ratio(hits, static_cast<int64_t>(labels.size()));
}

double top_k_accuracy(const Scores& scores, Labels labels, int64_t k) {
  require_same_length("top_k_accuracy", static_cast<size_t>(scores.rows()), labels.size());
  require_labels("top_k_accuracy", "labels", labels, scores.classes);
  require_finite("top_k_accuracy", "scores", scores.values);
  if (k < 1) {
    throw UserError("top_k_accuracy", "k is too small", {.got = str(k), .expected = "at least 1"});
  }
  int64_t hits = 0;
  for (int64_t row = 0; row < scores.rows(); ++row) {
    int64_t label = labels[static_cast<size_t>(row)], above = 0;
    double score = scores(row, label);
    for (int64_t c = 0; c < scores.classes; ++c) {
      above += scores(row, c) > score || (scores(row, c) == score && c > label);
    }
    hits += above < k;
  }
  return ratio(hits, scores.rows());
}

int64_t ConfusionMatrix::total() const {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

std::vector<int64_t> ConfusionMatrix::row_sums() const {
  std::vector<int64_t> sums(static_cast<size_t>(classes));
  for (size_t i = 0; i < counts.size(); ++i) sums[i / static_cast<size_t>(classes)] += counts[i];
  return sums;
}

std::vector<int64_t> ConfusionMatrix::column_sums() const {
  std::vector<int64_t> sums(static_cast<size_t>(classes));
  for (size_t i = 0; i < counts.size(); ++i) sums[i % static_cast<size_t>(classes)] += counts[i];
  return sums;
}

ConfusionMatrix confusion_matrix(Labels predicted, Labels labels, int64_t classes) {
  require_same_length("confusion_matrix", predicted.size(), labels.size());
  require_labels("confusion_matrix", "predictions", predicted, classes);
  require_labels("confusion_matrix", "labels", labels, classes);
  ConfusionMatrix matrix{.classes = classes,
                         .counts = std::vector<int64_t>(static_cast<size_t>(classes * classes))};
  for (size_t i = 0; i < labels.size(); ++i) {
    ++matrix.counts[static_cast<size_t>(labels[i] * classes + predicted[i])];
  }
  return matrix;
}

std::vector<ClassMetrics> per_class_metrics(const ConfusionMatrix& matrix) {
  auto support = matrix.row_sums(), predicted = matrix.column_sums();
  std::vector<ClassMetrics> result;
  for (int64_t c = 0; c < matrix.classes; ++c) {
    auto i = static_cast<size_t>(c);
    result.push_back(metrics_of(matrix(c, c), predicted[i], support[i]));
  }
  return result;
}

ClassMetrics average_metrics(const ConfusionMatrix& matrix, Average average) {
  int64_t total = matrix.total(), correct = 0;
  auto predicted = matrix.column_sums();
  auto each = per_class_metrics(matrix);
  ClassMetrics sum;
  double weights = 0;
  for (int64_t c = 0; c < matrix.classes; ++c) {
    auto i = static_cast<size_t>(c);
    correct += matrix(c, c);
    if (each[i].support == 0 && predicted[i] == 0) continue;
    double weight = average == Average::weighted ? static_cast<double>(each[i].support) : 1;
    weights += weight;
    sum.precision += weight * each[i].precision;
    sum.recall += weight * each[i].recall;
    sum.f1 += weight * each[i].f1;
  }
  if (average == Average::micro) return metrics_of(correct, total, total);
  if (weights == 0) return {};
  return {sum.precision / weights, sum.recall / weights, sum.f1 / weights, total};
}

double balanced_accuracy(const ConfusionMatrix& matrix) {
  double sum = 0;
  int64_t present = 0;
  for (const auto& metrics : per_class_metrics(matrix)) {
    if (metrics.support == 0) continue;
    sum += metrics.recall;
    ++present;
  }
  return present == 0 ? NAN : sum / static_cast<double>(present);
}

double cohen_kappa(const ConfusionMatrix& matrix, KappaWeights weights) {
  auto support = matrix.row_sums(), predicted = matrix.column_sums();
  auto total = static_cast<double>(matrix.total());
  double observed = 0, expected = 0;
  for (int64_t i = 0; i < matrix.classes; ++i) {
    for (int64_t j = 0; j < matrix.classes; ++j) {
      auto distance = static_cast<double>(std::abs(i - j));
      double weight = weights == KappaWeights::none     ? (i != j)
                      : weights == KappaWeights::linear ? distance
                                                        : distance * distance;
      observed += weight * static_cast<double>(matrix(i, j));
      expected += weight * static_cast<double>(support[static_cast<size_t>(i)]) *
                  static_cast<double>(predicted[static_cast<size_t>(j)]) / total;
    }
  }
  return expected > 0 ? 1 - observed / expected : NAN;
}

double matthews_correlation(const ConfusionMatrix& matrix) {
  auto support = matrix.row_sums(), predicted = matrix.column_sums();
  double total = static_cast<double>(matrix.total()), correct = 0, both = 0, truth = 0, guess = 0;
  for (int64_t c = 0; c < matrix.classes; ++c) {
    auto s = static_cast<double>(support[static_cast<size_t>(c)]);
    auto p = static_cast<double>(predicted[static_cast<size_t>(c)]);
    correct += static_cast<double>(matrix(c, c));
    both += s * p;
    truth += s * s;
    guess += p * p;
  }
  double spread = (total * total - guess) * (total * total - truth);
  return spread == 0 ? 0 : (correct * total - both) / std::sqrt(spread);
}

Classification classification(const Scores& probabilities, Labels labels, int64_t top_k) {
  require_same_length("classification", static_cast<size_t>(probabilities.rows()), labels.size());
  require_labels("classification", "labels", labels, probabilities.classes);

  auto predicted = argmax(probabilities);
  Classification result{.examples = probabilities.rows(), .classes = probabilities.classes};
  result.confusion = confusion_matrix(predicted, labels, result.classes);
  result.accuracy = accuracy(predicted, labels);
  int64_t hits = 0;
  for (size_t i = 0; i < labels.size(); ++i) hits += predicted[i] == labels[i];
  result.accuracy_interval = wilson_interval(hits, result.examples);
  if (result.classes > top_k) {
    result.top_k = top_k;
    result.top_k_accuracy = top_k_accuracy(probabilities, labels, top_k);
  }
  result.log_loss = log_loss(probabilities, labels);
  result.brier = brier_score(probabilities, labels);
  result.reliability = reliability_bins(probabilities, labels);
  result.calibration_error = expected_calibration_error(result.reliability);
  result.per_class = per_class_metrics(result.confusion);
  result.macro = average_metrics(result.confusion, Average::macro);
  result.micro = average_metrics(result.confusion, Average::micro);
  result.weighted = average_metrics(result.confusion, Average::weighted);
  result.balanced_accuracy = balanced_accuracy(result.confusion);
  result.kappa = cohen_kappa(result.confusion);
  result.matthews = matthews_correlation(result.confusion);

  double areas = 0, precisions = 0;
  int64_t with_area = 0, with_examples = 0;
  for (int64_t c = 0; c < result.classes; ++c) {
    auto scores = class_scores(probabilities, c);
    auto positive = class_indicator(labels, c);
    result.roc.push_back(roc_curve(scores, positive));
    result.precision_recall.push_back(precision_recall_curve(scores, positive));
    if (!std::isnan(result.roc.back().area)) areas += result.roc.back().area, ++with_area;
    if (result.per_class[static_cast<size_t>(c)].support > 0) {
      precisions += result.precision_recall.back().average_precision, ++with_examples;
    }
  }
  result.roc_auc_macro = with_area == 0 ? NAN : areas / static_cast<double>(with_area);
  result.average_precision_macro = precisions / static_cast<double>(with_examples);
  return result;
}

}  // namespace wafer::eval
