#include "wafer/eval/classification.h"

#include <gtest/gtest.h>

#include "tests/eval/expected.h"
#include "tests/text.h"
#include "wafer/base/error.h"

namespace wafer::eval {
namespace {
using nlohmann::json;
using testing::cases;
using testing::numbers;
using wafer::tests::message_of;

void expect_all_same(const std::vector<double>& actual, const json& expected, const char* what) {
  auto values = numbers(expected);
  ASSERT_EQ(actual.size(), values.size()) << what;
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_TRUE(testing::same(actual[i], values[i]))
        << what << "[" << i << "] = " << actual[i] << ", expected " << values[i];
  }
}

void expect_average(const ClassMetrics& actual, const json& expected) {
  EXPECT_SAME(actual.precision, expected[0]);
  EXPECT_SAME(actual.recall, expected[1]);
  EXPECT_SAME(actual.f1, expected[2]);
}

class Expected : public ::testing::TestWithParam<json> {
 protected:
  Expected()
      : probabilities(GetParam().at("probabilities").get<std::vector<double>>()),
        labels(GetParam().at("labels").get<std::vector<int64_t>>()),
        scores(probabilities, GetParam().at("classes").get<int64_t>()),
        expected(GetParam().at("expected")) {}
  std::vector<double> probabilities;
  std::vector<int64_t> labels;
  Scores scores;
  json expected;
};

TEST_P(Expected, Labels) {
  auto result = classification(scores, labels, 2);
  EXPECT_EQ(result.examples, static_cast<int64_t>(labels.size()));
  EXPECT_SAME(result.accuracy, expected["accuracy"]);
  EXPECT_EQ(result.confusion.counts, expected["confusion"].get<std::vector<int64_t>>());
  EXPECT_EQ(result.confusion.total(), result.examples);
  std::vector<double> precision, recall, f1;
  std::vector<int64_t> support;
  for (const auto& metrics : result.per_class) {
    precision.push_back(metrics.precision);
    recall.push_back(metrics.recall);
    f1.push_back(metrics.f1);
    support.push_back(metrics.support);
  }
  expect_all_same(precision, expected["precision"], "precision");
  expect_all_same(recall, expected["recall"], "recall");
  expect_all_same(f1, expected["f1"], "f1");
  EXPECT_EQ(support, expected["support"].get<std::vector<int64_t>>());
  expect_average(result.macro, expected["macro"]);
  expect_average(result.micro, expected["micro"]);
  expect_average(result.weighted, expected["weighted"]);
  EXPECT_SAME(result.kappa, expected["kappa"]);
  EXPECT_SAME(cohen_kappa(result.confusion, KappaWeights::linear), expected["kappa_linear"]);
  EXPECT_SAME(cohen_kappa(result.confusion, KappaWeights::quadratic), expected["kappa_quadratic"]);
  EXPECT_SAME(result.balanced_accuracy, expected["balanced_accuracy"]);
  EXPECT_SAME(result.matthews, expected["matthews"]);
  EXPECT_SAME(result.accuracy_interval.lower, expected["wilson"][0]);
  EXPECT_SAME(result.accuracy_interval.upper, expected["wilson"][1]);
}

TEST_P(Expected, Probabilities) {
  auto result = classification(scores, labels, 2);
  EXPECT_SAME(result.log_loss, expected["log_loss"]);
  EXPECT_SAME(result.brier, expected["brier"]);
  EXPECT_SAME(result.calibration_error, expected["ece"]);
  std::vector<int64_t> counts;
  for (const auto& bin : result.reliability) counts.push_back(bin.count);
  EXPECT_EQ(counts, expected["bin_counts"].get<std::vector<int64_t>>());
  if (expected.contains("brier_binary")) {
    EXPECT_SAME(brier_score_binary(class_scores(scores, 1), class_indicator(labels, 1)),
                expected["brier_binary"]);
  }
  if (expected.contains("roc_auc_macro")) {
    EXPECT_SAME(result.roc_auc_macro, expected["roc_auc_macro"]);
  }
  if (expected.contains("top_k")) {
    for (int64_t k = 1; k <= scores.classes; ++k) {
      EXPECT_SAME(top_k_accuracy(scores, labels, k), expected["top_k"][static_cast<size_t>(k - 1)]);
    }
    EXPECT_EQ(result.top_k, 2);
    EXPECT_SAME(result.top_k_accuracy, expected["top_k"][1]);
  } else {
    EXPECT_EQ(result.top_k, 0);
  }
}

TEST_P(Expected, Curves) {
  auto areas = roc_auc_one_vs_rest(scores, labels);
  for (int64_t c = 0; c < scores.classes; ++c) {
    SCOPED_TRACE(c);
    const json& curve = expected["curves"][static_cast<size_t>(c)];
    auto column = class_scores(scores, c);
    auto positive = class_indicator(labels, c);
    RocCurve roc = roc_curve(column, positive);
    expect_all_same(roc.false_positive_rate, curve["fpr"], "fpr");
    expect_all_same(roc.true_positive_rate, curve["tpr"], "tpr");
    expect_all_same(roc.thresholds, curve["roc_thresholds"], "thresholds");
    EXPECT_SAME(roc.area, curve["roc_auc"]);
    EXPECT_SAME(areas[static_cast<size_t>(c)], curve["roc_auc"]);
    PrecisionRecallCurve pr = precision_recall_curve(column, positive);
    expect_all_same(pr.precision, curve["precision"], "precision");
    expect_all_same(pr.recall, curve["recall"], "recall");
    expect_all_same(pr.thresholds, curve["pr_thresholds"], "thresholds");
    EXPECT_SAME(pr.average_precision, curve["average_precision"]);
  }
}

INSTANTIATE_TEST_SUITE_P(ScikitLearn, Expected,
                         ::testing::ValuesIn(cases("classification.json").get<std::vector<json>>()),
                         [](const auto& info) {
                           auto name = info.param.at("name").template get<std::string>();
                           std::string letters;
                           for (char c : name) letters += std::isalnum(c) ? c : '_';
                           return letters;
                         });

TEST(Classification, FloatsGiveTheSameAsTheirDoubles) {
  std::vector<float> floats = {0.1f, 0.7f, 0.2f, 0.5f, 0.25f, 0.25f};
  std::vector<double> doubles(floats.begin(), floats.end());
  std::vector<int64_t> labels = {1, 2};
  auto a = classification(Scores(floats, 3), labels),
       b = classification(Scores(doubles, 3), labels);
  EXPECT_EQ(a.log_loss, b.log_loss);
  EXPECT_EQ(a.brier, b.brier);
  EXPECT_EQ(a.confusion.counts, b.confusion.counts);
}

TEST(Classification, SoftmaxOfLargeLogits) {
  std::vector<float> logits = {1000, 1001, -1000, 0, 0, 0};
  auto p = softmax(Scores(logits, 3));
  EXPECT_NEAR(p[0], 1 / (1 + std::exp(1.0)), 1e-15);
  EXPECT_EQ(p[2], 0);
  EXPECT_DOUBLE_EQ(p[4], 1.0 / 3);
}

TEST(Classification, NormalQuantile) {
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-14);
  EXPECT_NEAR(normal_quantile(0.5), 0, 1e-16);
  EXPECT_NEAR(normal_quantile(1e-10), -6.361340902404056, 1e-13);
}

TEST(Classification, WilsonAtTheEnds) {
  EXPECT_EQ(wilson_interval(0, 10).lower, 0);
  EXPECT_EQ(wilson_interval(10, 10).upper, 1);
  EXPECT_THROW(wilson_interval(3, 2), UserError);
  EXPECT_THROW(wilson_interval(0, 0), UserError);
}

TEST(Classification, BootstrapIsSeededAndCoversTheMean) {
  auto mean = [](std::span<const int64_t> rows) {
    double sum = 0;
    for (int64_t row : rows) sum += row < 60;  // 60 of 100 are right
    return sum / static_cast<double>(rows.size());
  };
  Interval a = bootstrap_interval(100, mean, 1), b = bootstrap_interval(100, mean, 1);
  Interval c = bootstrap_interval(100, mean, 2);
  EXPECT_EQ(a.lower, b.lower);
  EXPECT_EQ(a.upper, b.upper);
  EXPECT_TRUE(a.lower != c.lower || a.upper != c.upper);
  // Close to the normal interval 0.6 +- 1.96 * sqrt(0.6 * 0.4 / 100).
  EXPECT_NEAR(a.lower, 0.504, 0.025);
  EXPECT_NEAR(a.upper, 0.696, 0.025);
  EXPECT_TRUE(std::isnan(bootstrap_interval(
                             3, [](auto) { return std::nan(""); }, 0)
                             .lower));
}

TEST(Classification, RefusesWhatItCannotMeasure) {
  std::vector<double> none, p = {0.5, 0.5}, logits = {2.0, -1.0}, broken = {0.5, std::nan("")};
  std::vector<int64_t> no_labels, zero = {0}, two = {2}, both = {0, 1};
  EXPECT_NE(message_of([&] { classification(Scores(none, 2), no_labels); }).find("empty"),
            std::string::npos);
  EXPECT_NE(message_of([&] { accuracy(no_labels, no_labels); }).find("empty"), std::string::npos);
  EXPECT_NE(message_of([&] { roc_curve(none, {}); }).find("empty"), std::string::npos);
  EXPECT_NE(message_of([&] { classification(Scores(p, 2), both); }).find("1 predictions and 2"),
            std::string::npos);
  EXPECT_NE(message_of([&] { classification(Scores(p, 2), two); }).find("2 at position 0"),
            std::string::npos);
  EXPECT_NE(message_of([&] { log_loss(Scores(logits, 2), zero); }).find("softmax"),
            std::string::npos);
  EXPECT_NE(message_of([&] { classification(Scores(broken, 2), zero); }).find("not finite"),
            std::string::npos);
  EXPECT_NE(message_of([&] { Scores(p, 3); }).find("multiple of the 3"), std::string::npos);
  EXPECT_NE(message_of([&] { top_k_accuracy(Scores(p, 2), zero, 0); }).find("at least 1"),
            std::string::npos);
}

}  // namespace
}  // namespace wafer::eval
