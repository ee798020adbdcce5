#include <algorithm>
#include <cmath>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/eval/report_format.h"
#include "wafer/io/file.h"

namespace wafer::eval {

using svg::escape;

namespace {
std::string tile(const std::string& what, const std::string& number, const std::string& more) {
  return str("<div class=\"tile\"><div class=\"what\">", escape(what),
             "</div><div class=\"number\">", escape(number), "</div><div class=\"more\">",
             escape(more), "</div></div>\n");
}

std::string tiles(const Report& report) {
  std::string out;
  if (report.classification) {
    const auto& result = *report.classification;
    out += tile("Accuracy (" + report.evaluated_split + ")", percent(result.accuracy, 1),
                "95 % interval " + fixed(result.accuracy_interval.lower * 100, 1) + " to " +
                    percent(result.accuracy_interval.upper, 1));
    out += tile("Macro F1", fixed(result.macro.f1, 3),
                "mean over " + human_count(result.classes) + " classes");
  }
  if (report.regression) {
    out += tile("RMSE (" + report.evaluated_split + ")", svg::number(report.regression->rmse),
                human_count(report.regression->examples) + " examples");
    if (std::isfinite(report.regression->r2)) {
      out += tile("R²", fixed(report.regression->r2, 3), "share of the variance explained");
    }
  }
  if (report.train_seconds) {
    auto epochs = static_cast<int64_t>(report.epochs.size());
    std::string more;
    if (epochs > 0) {
      more = human_count(epochs) + (epochs == 1 ? " epoch, " : " epochs, ") +
             duration(*report.train_seconds / static_cast<double>(epochs)) + " each";
    }
    out += tile("Training time", duration(*report.train_seconds), more);
  }
  if (report.step_seconds) {
    std::string more;
    if (report.predicted_step_seconds)
      more = "predicted " + duration(*report.predicted_step_seconds);
    out += tile("Step time", duration(*report.step_seconds), more);
  }
  if (report.samples_per_second) {
    std::string more;
    if (report.data_wait_percent)
      more = fixed(*report.data_wait_percent, 1) + " % waiting for data";
    out += tile("Throughput", human_count(std::llround(*report.samples_per_second)) + "/s", more);
  }
  if (report.memory) {
    const auto& memory = *report.memory;
    out += tile(memory.measured_bytes ? "Peak memory" : "Memory plan",
                human_bytes(memory.measured_bytes.value_or(memory.planned_bytes)),
                memory.measured_bytes ? "planned " + human_bytes(memory.planned_bytes) : "");
  }
  return out.empty() ? "" : "<div class=\"tiles\">\n" + out + "</div>\n";
}
}  // namespace

namespace {
// Keeps a number and its percent sign on one line.
std::string unbroken(std::string text) {
  for (size_t at = text.find(" %"); at != text.npos; at = text.find(" %", at + 1)) {
    text.replace(at, 1, "&nbsp;");
  }
  return text;
}
}  // namespace

std::string Report::html() const {
  std::string title = model.empty() ? "Model" : model;
  if (!data.empty()) title += " on " + data;
  std::string safe = escape(title);

  struct Section {
    const char *id, *title;
    std::string body;
  };
  const Section sections[] = {
      {"training", "Training", training_section(*this)},
      {"results", "Results", results_section(*this)},
      {"regression", "Regression", regression_section(*this)},
      {"confusion", "Confusion matrix", confusion_section(*this)},
      {"classes", "Classes", classes_section(*this)},
      {"curves", "ROC and precision-recall", curves_section(*this)},
      {"calibration", "Calibration", calibration_section(*this)},
      {"worst", "Worst examples", worst_section(*this)},
      {"time", "Time", timing_section(*this)},
      {"layers", "Time per layer", profile_section(*this)},
      {"memory", "Memory", memory_section(*this)},
      {"selection", "Choice of the device", selection_section(*this)},
      {"settings", "Settings", facts_section(settings)},
      {"environment", "Environment", facts_section(environment)},
  };

  std::string out =
      str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          // Nothing may be fetched and no script may run, whatever a name in the data holds.
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src 'unsafe-inline'; img-src data:\">\n<title>",
          safe, " – wafer report</title>\n<style>", report_style,
          "</style>\n</head>\n<body>\n<main>\n<header>\n", "<p class=\"eyebrow\">wafer report",
          created.empty() ? "" : " · " + escape(created), "</p>\n<h1>", safe,
          "</h1>\n<p class=\"verdict\">", unbroken(escape(verdict())), "</p>\n");
  for (const auto& note : notes) out += "<p class=\"notice\">" + escape(note) + "</p>\n";
  out += tiles(*this) + "<nav>";
  for (const auto& section : sections) {
    if (section.body.empty()) continue;
    out += str("<a href=\"#", section.id, "\">", section.title, "</a>");
  }
  out += "</nav>\n</header>\n";
  for (const auto& section : sections) {
    if (section.body.empty()) continue;
    out += str("<section id=\"", section.id, "\">\n<h2>", section.title, "</h2>\n", section.body,
               "</section>\n");
  }
  return out +
         "<footer>Made by wafer. This file is self-contained: it needs no network.</footer>\n"
         "</main>\n</body>\n</html>\n";
}

void Report::write(const std::string& path) const {
  io::write_file_atomic(path, html());
}

}  // namespace wafer::eval
