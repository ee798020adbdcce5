#include "wafer/train/history.h"

#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"

namespace wafer {

namespace {
using Json = nlohmann::json;

struct NamedField {
  const char* name;
  std::optional<double> eval::EpochRecord::*field;
};
constexpr NamedField fields[] = {{"train_loss", &eval::EpochRecord::train_loss},
                                 {"train_accuracy", &eval::EpochRecord::train_accuracy},
                                 {"validation_loss", &eval::EpochRecord::validation_loss},
                                 {"validation_accuracy", &eval::EpochRecord::validation_accuracy},
                                 {"learning_rate", &eval::EpochRecord::learning_rate},
                                 {"seconds", &eval::EpochRecord::seconds},
                                 {"samples_per_second", &eval::EpochRecord::samples_per_second},
                                 {"data_wait_percent", &eval::EpochRecord::data_wait_percent}};
}  // namespace

std::string history_to_json(const History& history) {
  Json epochs = Json::array();
  for (const auto& record : history.epochs) {
    Json entry = {{"epoch", record.epoch}};
    for (const auto& [name, field] : fields) {
      if (record.*field) entry[name] = *(record.*field);
    }
    epochs.push_back(entry);
  }
  Json json = {{"epochs", epochs},
               {"epochs_without_gain", history.epochs_without_gain},
               {"schedule_state", history.schedule_state}};
  // JSON has no infinity: absent stands for "none yet".
  if (history.best_validation < std::numeric_limits<double>::infinity()) {
    json["best_validation"] = history.best_validation;
  }
  return json.dump();
}

History history_from_json(const std::string& text, const std::string& where) {
  try {
    Json json = Json::parse(text);
    History history;
    for (const Json& entry : json.at("epochs")) {
      eval::EpochRecord record;
      record.epoch = entry.at("epoch").get<int64_t>();
      for (const auto& [name, field] : fields) {
        if (entry.contains(name)) record.*field = entry.at(name).get<double>();
      }
      history.epochs.push_back(record);
    }
    history.best_validation =
        json.value("best_validation", std::numeric_limits<double>::infinity());
    history.epochs_without_gain = json.at("epochs_without_gain").get<int64_t>();
    history.schedule_state = json.at("schedule_state").get<std::vector<double>>();
    return history;
  } catch (const Json::exception& error) {
    throw UserError(where, str("the history cannot be read: ", error.what()));
  }
}

std::string epoch_text(const eval::EpochRecord& record, int64_t epochs) {
  std::string text = str("epoch ", record.epoch, "/", epochs, ":");
  auto add = [&](const char* what, std::optional<double> value, const char* format, double factor) {
    if (!value) return;
    char number[48];
    std::snprintf(number, sizeof number, format, *value * factor);
    text += str(text.back() == ':' ? " " : ", ", what, number);
  };
  add("loss ", record.train_loss, "%.4f", 1);
  add("accuracy ", record.train_accuracy, "%.2f %%", 100);
  add("validation loss ", record.validation_loss, "%.4f", 1);
  add("accuracy ", record.validation_accuracy, "%.2f %%", 100);
  add("", record.samples_per_second, "%.0f samples/s", 1);
  if (record.seconds) text += ", " + human_seconds(*record.seconds);
  return text;
}

}  // namespace wafer
