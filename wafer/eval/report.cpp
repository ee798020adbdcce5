#include "wafer/eval/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/eval/report_format.h"

namespace wafer::eval {

std::vector<WorstExample> worst_examples(const Scores& probabilities, Labels labels,
                                         int64_t count) {
  require_same_length("worst_examples", static_cast<size_t>(probabilities.rows()), labels.size());
  require_labels("worst_examples", "labels", labels, probabilities.classes);
  auto predicted = argmax(probabilities);
  std::vector<WorstExample> wrong;
  for (int64_t row = 0; row < probabilities.rows(); ++row) {
    auto i = static_cast<size_t>(row);
    if (predicted[i] == labels[i]) continue;
    wrong.push_back({.index = row,
                     .label = labels[i],
                     .predicted = predicted[i],
                     .probability = probabilities(row, predicted[i]),
                     .label_probability = probabilities(row, labels[i])});
  }
  std::stable_sort(wrong.begin(), wrong.end(), [](const auto& a, const auto& b) {
    return a.label_probability < b.label_probability;
  });
  if (static_cast<int64_t>(wrong.size()) > count) {
    wrong.resize(static_cast<size_t>(std::max<int64_t>(count, 0)));
  }
  return wrong;
}

namespace {
// "4 % less than", for a measured value against a planned one.
std::string against(double measured, double planned) {
  double off = (measured / planned - 1) * 100;
  if (std::abs(off) < 0.5) return "as";
  return fixed(std::abs(off), 0) + " % " + (off < 0 ? "less than" : "more than");
}

std::string training_sentence(const Report& report) {
  std::string text = report.model.empty() ? "The model" : "The model " + report.model;
  if (report.parameters) text += " (" + human_count(*report.parameters) + " parameters)";
  bool trained = !report.epochs.empty() || report.train_seconds;
  text += trained ? " was trained" : " was evaluated";
  if (!report.data.empty()) text += " on " + report.data;
  if (!report.epochs.empty()) {
    auto epochs = static_cast<int64_t>(report.epochs.size());
    text += " for " + human_count(epochs) + (epochs == 1 ? " epoch" : " epochs");
  }
  if (report.train_seconds) text += " in " + duration(*report.train_seconds);
  if (!report.device.empty()) text += " on " + report.device;
  if (!report.precision.empty()) text += " in " + report.precision;
  return text + ".";
}

std::string classification_sentences(const Report& report) {
  const Classification& result = *report.classification;
  auto examples = human_count(result.examples);
  std::string text = " It gets " + percent(result.accuracy, 1) + " of the " + examples + " " +
                     report.evaluated_split + " examples right (95 % confidence interval " +
                     fixed(result.accuracy_interval.lower * 100, 1) + " to " +
                     percent(result.accuracy_interval.upper, 1) + ")";
  auto support = result.confusion.row_sums();
  int64_t most = *std::max_element(support.begin(), support.end());
  double guess = static_cast<double>(most) / static_cast<double>(result.examples);
  text += "; always naming the most frequent class would get " + percent(guess, 1) + ".";
  auto confusions = worst_confusions(result.confusion, 1);
  if (!confusions.empty() && result.classes > 2) {
    text += " Its most common mistake is to take " + class_name(report, confusions[0].label) +
            " for " + class_name(report, confusions[0].predicted) + " (" +
            percent(confusions[0].share, 0) + " of that class).";
  }
  double mean_confidence = 0;
  for (const auto& bin : result.reliability) {
    mean_confidence += bin.confidence * static_cast<double>(bin.count);
  }
  double excess = mean_confidence / static_cast<double>(result.examples) - result.accuracy;
  if (result.calibration_error >= 0.05 && std::abs(excess) >= 0.03) {
    text += std::string(" Its stated confidence is too ") + (excess > 0 ? "high" : "low") + " by " +
            fixed(std::abs(excess) * 100, 0) + " points on average.";
  }
  return text;
}

std::string overfitting_sentence(const Report& report) {
  if (report.epochs.empty()) return "";
  const EpochRecord& last = report.epochs.back();
  if (!last.train_accuracy || !last.validation_accuracy) return "";
  if (*last.train_accuracy - *last.validation_accuracy < 0.1) return "";
  return " It fits the training data (" + percent(*last.train_accuracy, 0) +
         ") better than unseen data (" + percent(*last.validation_accuracy, 0) +
         " in validation): it overfits, and more data, augmentation or weight decay should help.";
}

std::string cost_sentences(const Report& report) {
  std::string text;
  if (report.step_seconds) {
    text += " A training step takes " + duration(*report.step_seconds);
    if (report.predicted_step_seconds && *report.predicted_step_seconds > 0) {
      text += ", " + against(*report.step_seconds, *report.predicted_step_seconds) + " the " +
              duration(*report.predicted_step_seconds) + " predicted before it ran";
    }
    text += ".";
  }
  if (report.memory && report.memory->planned_bytes > 0) {
    const auto& memory = *report.memory;
    if (memory.measured_bytes) {
      text += " It used " + human_bytes(*memory.measured_bytes) + " of memory, " +
              against(*memory.measured_bytes, memory.planned_bytes) + " the plan of " +
              human_bytes(memory.planned_bytes) + ".";
    } else {
      text += " Its memory plan is " + human_bytes(memory.planned_bytes) + ".";
    }
  }
  return text;
}
}  // namespace

std::string Report::verdict() const {
  std::string text = training_sentence(*this);
  if (classification) text += classification_sentences(*this);
  if (regression) {
    text += " On the " + human_count(regression->examples) + " " + evaluated_split +
            " examples its typical error (RMSE) is " + svg::number(regression->rmse) +
            ", the mean absolute error " + svg::number(regression->mae);
    if (std::isfinite(regression->r2)) {
      text += ", and it explains " + percent(regression->r2, 1) + " of the variance (R²)";
    }
    text += ".";
  }
  return text + overfitting_sentence(*this) + cost_sentences(*this);
}

namespace {
using nlohmann::json;

// JSON has no NaN or infinity: undefined numbers are null.
json value_of(double number) {
  return std::isfinite(number) ? json(number) : json(nullptr);
}

json values_of(const std::vector<double>& numbers) {
  json list = json::array();
  for (double number : numbers) list.push_back(value_of(number));
  return list;
}

void put(json& object, const char* key, const std::optional<double>& value) {
  if (value) object[key] = value_of(*value);
}

void put(json& object, const char* key, const std::string& text) {
  if (!text.empty()) object[key] = text;
}

json facts_of(const Facts& facts) {
  json object = json::object();
  for (const auto& [name, value] : facts) object[name] = value;
  return object;
}

json class_metrics_of(const ClassMetrics& metrics) {
  return {{"precision", metrics.precision},
          {"recall", metrics.recall},
          {"f1", metrics.f1},
          {"support", metrics.support}};
}

json classification_of(const Report& report) {
  const Classification& result = *report.classification;
  json object = {
      {"examples", result.examples},
      {"classes", result.classes},
      {"accuracy", result.accuracy},
      {"accuracy_interval_95", {result.accuracy_interval.lower, result.accuracy_interval.upper}},
      {"log_loss", result.log_loss},
      {"brier", result.brier},
      {"expected_calibration_error", result.calibration_error},
      {"balanced_accuracy", value_of(result.balanced_accuracy)},
      {"cohen_kappa", value_of(result.kappa)},
      {"matthews_correlation", result.matthews},
      {"roc_auc_macro", value_of(result.roc_auc_macro)},
      {"average_precision_macro", value_of(result.average_precision_macro)},
      {"macro", class_metrics_of(result.macro)},
      {"micro", class_metrics_of(result.micro)},
      {"weighted", class_metrics_of(result.weighted)},
  };
  if (result.top_k > 0) {
    object["top_k"] = {{"k", result.top_k}, {"accuracy", result.top_k_accuracy}};
  }
  for (int64_t label = 0; label < result.classes; ++label) {
    auto i = static_cast<size_t>(label);
    auto begin = result.confusion.counts.begin() + label * result.classes;
    object["confusion"].push_back(std::vector<int64_t>(begin, begin + result.classes));
    json metrics = class_metrics_of(result.per_class[i]);
    metrics["name"] = class_name(report, label);
    metrics["roc_auc"] = value_of(result.roc[i].area);
    metrics["average_precision"] = value_of(result.precision_recall[i].average_precision);
    object["per_class"].push_back(std::move(metrics));
    object["roc_curves"].push_back(
        {{"false_positive_rate", values_of(result.roc[i].false_positive_rate)},
         {"true_positive_rate", values_of(result.roc[i].true_positive_rate)}});
  }
  for (const auto& bin : result.reliability) {
    object["reliability"].push_back({{"lower", bin.lower},
                                     {"upper", bin.upper},
                                     {"count", bin.count},
                                     {"confidence", bin.confidence},
                                     {"accuracy", bin.accuracy}});
  }
  return object;
}

json regression_of(const Regression& result) {
  return {{"examples", result.examples},
          {"mse", result.mse},
          {"rmse", result.rmse},
          {"mae", result.mae},
          {"median_absolute_error", result.median_absolute_error},
          {"max_error", result.max_error},
          {"mean_absolute_percentage_error", result.mean_absolute_percentage_error},
          {"r2", value_of(result.r2)},
          {"explained_variance", result.explained_variance},
          {"pearson", value_of(result.pearson)},
          {"spearman", value_of(result.spearman)}};
}

json epoch_of(const EpochRecord& epoch) {
  json object = {{"epoch", epoch.epoch}};
  put(object, "train_loss", epoch.train_loss);
  put(object, "train_accuracy", epoch.train_accuracy);
  put(object, "validation_loss", epoch.validation_loss);
  put(object, "validation_accuracy", epoch.validation_accuracy);
  put(object, "learning_rate", epoch.learning_rate);
  put(object, "seconds", epoch.seconds);
  put(object, "samples_per_second", epoch.samples_per_second);
  put(object, "data_wait_percent", epoch.data_wait_percent);
  return object;
}

json prediction_of(const Prediction& prediction) {
  json object = {{"device", prediction.device}, {"chosen", prediction.chosen}};
  put(object, "precision", prediction.precision);
  if (prediction.threads > 0) object["threads"] = prediction.threads;
  put(object, "step_seconds", prediction.step_seconds);
  put(object, "measured_step_seconds", prediction.measured_step_seconds);
  put(object, "memory_bytes", prediction.memory_bytes);
  put(object, "energy_joules", prediction.energy_joules);
  put(object, "cost", prediction.cost);
  put(object, "remark", prediction.remark);
  return object;
}

json profile_of(const Profile& profile) {
  json object = {{"device", profile.device}, {"steps", profile.steps}};
  put(object, "peak_gflops", profile.peak_gflops);
  put(object, "peak_bf16_gflops", profile.peak_bf16_gflops);
  put(object, "peak_gbytes_per_second", profile.peak_gbytes);
  auto rows = [](const std::vector<ProfileRow>& list) {
    json array = json::array();
    for (const auto& row : list) {
      json entry = {{"name", row.name},   {"calls", row.calls}, {"seconds", row.seconds},
                    {"flops", row.flops}, {"bytes", row.bytes}, {"share", row.share}};
      put(entry, "roofline", row.roofline);
      array.push_back(std::move(entry));
    }
    return array;
  };
  object["layers"] = rows(by_layer(profile));
  object["kernels"] = rows(by_kernel(profile));
  return object;
}

json memory_of(const MemoryUse& memory) {
  json object = {{"planned_bytes", memory.planned_bytes}};
  put(object, "measured_bytes", memory.measured_bytes);
  for (const auto& [name, bytes] : memory.parts) object["parts"][name] = bytes;
  return object;
}
}  // namespace

std::string Report::json() const {
  nlohmann::json root = {{"verdict", verdict()}};
  put(root, "model", model);
  put(root, "data", data);
  put(root, "device", device);
  put(root, "precision", precision);
  put(root, "created", created);
  if (parameters) root["parameters"] = *parameters;
  if (!class_names.empty()) root["class_names"] = class_names;
  put(root, "train_seconds", train_seconds);
  put(root, "first_step_seconds", first_step_seconds);
  put(root, "step_seconds", step_seconds);
  put(root, "step_seconds_p90", step_seconds_p90);
  put(root, "predicted_step_seconds", predicted_step_seconds);
  put(root, "samples_per_second", samples_per_second);
  put(root, "data_wait_percent", data_wait_percent);
  for (const auto& epoch : epochs) root["epochs"].push_back(epoch_of(epoch));
  for (const auto& split : splits) {
    nlohmann::json object = {{"examples", split.examples}};
    put(object, "loss", split.loss);
    put(object, "accuracy", split.accuracy);
    root["splits"][split.name] = std::move(object);
  }
  if (memory) root["memory"] = memory_of(*memory);
  for (const auto& prediction : selection) root["selection"].push_back(prediction_of(prediction));
  if (classification || regression) root["evaluated_split"] = evaluated_split;
  if (classification) root["classification"] = classification_of(*this);
  if (regression) root["regression"] = regression_of(*regression);
  for (const auto& example : worst) {
    root["worst"].push_back({{"index", example.index},
                             {"label", example.label},
                             {"predicted", example.predicted},
                             {"probability", example.probability},
                             {"label_probability", example.label_probability},
                             {"name", example.name}});
  }
  if (profile) root["profile"] = profile_of(*profile);
  if (!notes.empty()) root["notes"] = notes;
  if (!environment.empty()) root["environment"] = facts_of(environment);
  if (!settings.empty()) root["settings"] = facts_of(settings);
  // Names may hold bytes that are no UTF-8; they must not stop the report.
  return root.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace wafer::eval
