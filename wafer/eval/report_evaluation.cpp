// The sections of the report about the evaluation.
#include <algorithm>
#include <cmath>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/eval/report_format.h"

namespace wafer::eval {

using namespace page;
using svg::escape;

namespace {
std::string split_table(const Report& report) {
  if (report.splits.empty()) return "";
  Table table({"<part of the data", "examples", "loss", "accuracy"});
  for (const auto& split : report.splits) {
    table.row({named(split.name), count(split.examples),
               optional(split.loss, [](double loss) { return fixed(loss, 4); }),
               optional(split.accuracy, [](double share) { return percent(share, 2); })});
  }
  return table.html();
}

std::string metric_table(const Classification& result) {
  Table table({"<metric", "value", "<meaning"});
  auto row = [&](const std::string& name, const std::string& text, const char* meaning) {
    table.row({named(name), value(text), fact(meaning)});
  };
  row("Accuracy", percent(result.accuracy, 2), "share of examples that are right");
  row("95 % interval",
      fixed(result.accuracy_interval.lower * 100, 2) + " to " +
          percent(result.accuracy_interval.upper, 2),
      "of the accuracy on fresh data of the same kind (Wilson)");
  if (result.top_k > 0) {
    row("Top-" + std::to_string(result.top_k), percent(result.top_k_accuracy, 2),
        "the right class is among that many best guesses");
  }
  row("Balanced accuracy", percent(result.balanced_accuracy, 2), "mean recall over the classes");
  row("Macro F1", fixed(result.macro.f1, 4), "mean F1 over the classes");
  row("Weighted F1", fixed(result.weighted.f1, 4), "mean F1 weighted by support");
  row("Macro ROC AUC", fixed(result.roc_auc_macro, 4), "each class against the rest");
  row("Macro average precision", fixed(result.average_precision_macro, 4),
      "each class against the rest");
  row("Log loss", fixed(result.log_loss, 4), "mean negative log likelihood, nats");
  row("Brier score", fixed(result.brier, 4), "mean squared error of the probabilities");
  row("Calibration error", percent(result.calibration_error, 2),
      "mean gap between confidence and accuracy (ECE, 15 bins)");
  row("Cohen's kappa", fixed(result.kappa, 4), "agreement beyond chance");
  row("Matthews correlation", fixed(result.matthews, 4), "-1 to 1, robust to unequal classes");
  return table.html();
}
}  // namespace

std::string results_section(const Report& report) {
  std::string splits = split_table(report);
  if (!report.classification) return splits;
  if (splits.empty()) return metric_table(*report.classification);
  return "<div class=\"wide2\"><div>" + metric_table(*report.classification) + "</div><div>" +
         splits + "</div></div>\n";
}

std::string confusion_section(const Report& report) {
  if (!report.classification) return "";
  const ConfusionMatrix& matrix = report.classification->confusion;
  constexpr int64_t most_classes = 100;
  std::string out;
  if (matrix.classes <= most_classes) {
    svg::HeatMap map{.row_label = "true class", .column_label = "predicted class"};
    auto support = matrix.row_sums();
    for (int64_t label = 0; label < matrix.classes; ++label) {
      map.names.push_back(class_name(report, label));
      auto examples =
          static_cast<double>(std::max<int64_t>(1, support[static_cast<size_t>(label)]));
      for (int64_t guess = 0; guess < matrix.classes; ++guess) {
        int64_t times = matrix(label, guess);
        double share = static_cast<double>(times) / examples;
        map.shares.push_back(share);
        map.texts.push_back(times == 0 ? "" : std::to_string(times));
        map.tooltips.push_back(class_name(report, label) + " taken for " +
                               class_name(report, guess) + ": " + human_count(times) + " (" +
                               percent(share, 1) + ")");
      }
    }
    out += hint(
        "Each row is a true class, each column what the model said; the shade is the share of "
        "the row (mistakes are shaded more strongly than their share). Blue is right, orange "
        "is wrong.");
    out += "<div class=\"wide2\">" + svg::heat_map(map);
  } else {
    out += "<div>";
  }
  auto pairs = worst_confusions(matrix, 10);
  if (!pairs.empty()) {
    Table table({"<true class", "<taken for", "times", "share of the class"});
    for (const auto& pair : pairs) {
      table.row({named(class_name(report, pair.label)), named(class_name(report, pair.predicted)),
                 count(pair.count), value(percent(pair.share, 1))});
    }
    out += "<div><h3>Most frequent mistakes</h3>\n" + table.html() + "</div>";
  }
  return out + "</div>\n";
}

std::string classes_section(const Report& report) {
  if (!report.classification) return "";
  const Classification& result = *report.classification;
  Table table({"<class", "precision", "recall", "F1", "<", "support", "ROC AUC", "avg. precision"});
  for (size_t i = 0; i < result.per_class.size(); ++i) {
    const ClassMetrics& metrics = result.per_class[i];
    bool present = metrics.support > 0;
    auto if_present = [&](double number, int decimals) {
      return present ? value(fixed(number, decimals)) : missing();
    };
    table.row({named(class_name(report, static_cast<int64_t>(i))),
               value(fixed(metrics.precision, 3)), if_present(metrics.recall, 3),
               value(fixed(metrics.f1, 3)), bar(metrics.f1), count(metrics.support),
               value(fixed(result.roc[i].area, 4)),
               if_present(result.precision_recall[i].average_precision, 4)});
  }
  auto average = [&](const char* name, const ClassMetrics& metrics, double auc, double precision) {
    table.row({named(name), value(fixed(metrics.precision, 3)), value(fixed(metrics.recall, 3)),
               value(fixed(metrics.f1, 3)), bar(metrics.f1), count(metrics.support),
               std::isnan(auc) ? Cell{""} : value(fixed(auc, 4)),
               std::isnan(precision) ? Cell{""} : value(fixed(precision, 4))},
              "total");
  };
  average("macro average", result.macro, result.roc_auc_macro, result.average_precision_macro);
  average("weighted average", result.weighted, NAN, NAN);
  return hint(
             "Precision: of the times the model names a class, how often it is right. Recall: of "
             "the "
             "examples of a class, how many it finds. F1 is their harmonic mean.") +
         table.html();
}

namespace {
// Leaves out points of a curve in the unit square that are too close to the one before to be seen.
void thin(std::vector<double>& x, std::vector<double>& y) {
  constexpr double visible = 0.004;
  size_t kept = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    bool moved = kept == 0 || std::abs(x[i] - x[kept - 1]) > visible ||
                 std::abs(y[i] - y[kept - 1]) > visible;
    if (!moved && i + 1 < x.size()) continue;
    x[kept] = x[i], y[kept] = y[i];
    ++kept;
  }
  x.resize(kept), y.resize(kept);
}

}  // namespace

std::string curves_section(const Report& report) {
  if (!report.classification) return "";
  const Classification& result = *report.classification;
  // One curve says it all for two classes; of many, those that the model ranks worst.
  std::vector<size_t> order;
  for (size_t i = 0; i < result.roc.size(); ++i) {
    if (std::isfinite(result.roc[i].area)) order.push_back(i);
  }
  if (result.classes == 2 && order.size() == 2) order = {1};
  constexpr size_t most_curves = 10;
  bool some = order.size() > most_curves;
  if (some) {
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return result.roc[a].area < result.roc[b].area; });
    order.resize(most_curves);
  }
  if (order.empty()) return hint("No class has both members and others, so there is no curve.");
  svg::Chart roc{.title = "ROC",
                 .x_label = "false positive rate",
                 .y_label = "true positive rate",
                 .x_low = 0,
                 .x_high = 1,
                 .y_low = 0,
                 .y_high = 1,
                 .diagonal = true};
  svg::Chart pr{.title = "Precision and recall",
                .x_label = "recall",
                .y_label = "precision",
                .x_low = 0,
                .x_high = 1,
                .y_low = 0,
                .y_high = 1};
  int colour = 0;
  for (size_t i : order) {
    std::string name = class_name(report, static_cast<int64_t>(i));
    svg::Series a{.name = name + " " + fixed(result.roc[i].area, 3),
                  .x = result.roc[i].false_positive_rate,
                  .y = result.roc[i].true_positive_rate,
                  .colour = colour};
    svg::Series b{.name = name + " " + fixed(result.precision_recall[i].average_precision, 3),
                  .x = result.precision_recall[i].recall,
                  .y = result.precision_recall[i].precision,
                  .colour = colour++};
    thin(a.x, a.y);
    thin(b.x, b.y);
    roc.series.push_back(std::move(a));
    pr.series.push_back(std::move(b));
  }
  std::string text =
      result.classes == 2
          ? "For the class " + class_name(report, static_cast<int64_t>(order[0])) + "."
          : "Each class against the rest.";
  if (some) text = "Each class against the rest; the ten classes with the smallest area are shown.";
  return hint(text +
              " The number beside a name is the area under its ROC curve (0.5 is guessing, 1 is "
              "perfect) or its average precision.") +
         "<div class=\"grid2\">" + svg::chart(roc) + svg::chart(pr) + "</div>\n";
}

std::string calibration_section(const Report& report) {
  if (!report.classification || report.classification->reliability.empty()) return "";
  const Classification& result = *report.classification;
  svg::Series observed{.name = "observed accuracy", .mark = svg::Mark::bars, .colour = 0};
  svg::Series sizes{.name = "", .mark = svg::Mark::bars, .colour = 7};
  double width = result.reliability[0].upper - result.reliability[0].lower;
  for (const auto& bin : result.reliability) {
    // The bin of confidence exactly 1 has no width: it is drawn as the last bar's right neighbour.
    double center = bin.upper > bin.lower ? (bin.lower + bin.upper) / 2 : 1 + width / 2;
    sizes.x.push_back(center);
    sizes.y.push_back(static_cast<double>(bin.count) / static_cast<double>(result.examples));
    if (bin.count == 0) continue;
    observed.x.push_back(center);
    observed.y.push_back(bin.accuracy);
  }
  bool exact = result.reliability.back().upper == result.reliability.back().lower;
  double high = exact ? 1 + width : 1;
  svg::Series ideal{.name = "ideal", .x = {0, 1}, .y = {0, 1}, .colour = 1, .dashed = true};
  svg::Chart reliability{.title = "Reliability",
                         .x_label = "confidence",
                         .y_label = "accuracy",
                         .series = {observed, ideal},
                         .x_low = 0,
                         .x_high = high,
                         .y_low = 0,
                         .y_high = 1,
                         .percent = true,
                         .bar_width = width};
  svg::Chart histogram{.title = "How often each confidence occurs",
                       .x_label = "confidence",
                       .y_label = "share of examples",
                       .series = {sizes},
                       .x_low = 0,
                       .x_high = high,
                       .y_low = 0,
                       .percent = true,
                       .bar_width = width};
  return hint(
             "A calibrated model is right in 80 % of the cases where it says 80 %: bars that end "
             "at "
             "the dashed line. Bars below it mean too much confidence. Expected calibration "
             "error " +
             percent(result.calibration_error, 2) + ".") +
         "<div class=\"grid2\">" + svg::chart(reliability) + svg::chart(histogram) + "</div>\n";
}

namespace {
std::string base64(const std::string& bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += i + j <= bytes.size() ? digits[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}
}  // namespace

std::string worst_section(const Report& report) {
  if (report.worst.empty()) return "";
  std::string out =
      hint(
          "Wrong answers that gave the least probability to the true class, worst first. "
          "They often show mislabelled or ambiguous data.") +
      "<div class=\"thumbs\">\n";
  for (const auto& example : report.worst) {
    out += "<div class=\"thumb\">";
    std::string name = example.name.empty() ? "no. " + std::to_string(example.index) : example.name;
    if (!example.png.empty()) {
      out += str("<img alt=\"", escape(name), "\" src=\"data:image/png;base64,",
                 base64(example.png), "\">");
    }
    out +=
        str("<span class=\"wrong\">", escape(class_name(report, example.predicted)), "</span> ",
            percent(example.probability, 0), "<br>is ", escape(class_name(report, example.label)),
            " (", percent(example.label_probability, 1), ")<div class=\"where\">", escape(name),
            "</div></div>\n");
  }
  return out + "</div>\n";
}

std::string regression_section(const Report& report) {
  if (!report.regression) return "";
  const Regression& result = *report.regression;
  Table table({"<metric", "value"});
  auto row = [&](const char* name, double number) {
    table.row({named(name), value(svg::number(number, 5))});
  };
  row("Root mean squared error", result.rmse);
  row("Mean absolute error", result.mae);
  row("Median absolute error", result.median_absolute_error);
  row("Largest error", result.max_error);
  // Targets of 0 make the fraction astronomic.
  bool meaningful = result.mean_absolute_percentage_error < 100;
  table.row({named("Mean absolute percentage error"),
             value(meaningful ? percent(result.mean_absolute_percentage_error, 2)
                              : "not meaningful: targets near 0")});
  row("R²", result.r2);
  row("Explained variance", result.explained_variance);
  row("Pearson correlation", result.pearson);
  row("Spearman correlation", result.spearman);
  std::string out = "<div class=\"grid2\"><div>" + table.html() + "</div>";
  if (!report.scatter.empty()) {
    svg::Series points{.mark = svg::Mark::points, .colour = 0};
    constexpr size_t most_points = 1500;
    size_t stride = (report.scatter.size() + most_points - 1) / most_points;
    for (size_t i = 0; i < report.scatter.size(); i += stride) {
      points.x.push_back(report.scatter[i].first);
      points.y.push_back(report.scatter[i].second);
    }
    auto [low, high] = std::minmax_element(points.x.begin(), points.x.end());
    svg::Series ideal{.name = "perfect prediction",
                      .x = {*low, *high},
                      .y = {*low, *high},
                      .colour = 1,
                      .dashed = true};
    out += svg::chart({.title = "Predicted against true value",
                       .x_label = "true value",
                       .y_label = "predicted value",
                       .series = {points, ideal}});
  }
  return out + "</div>\n";
}

}  // namespace wafer::eval
