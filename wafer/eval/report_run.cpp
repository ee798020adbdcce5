// The sections of the report about the training run.
#include <algorithm>
#include <cmath>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/eval/report_format.h"

namespace wafer::eval {

using namespace page;
using svg::escape;

namespace {
svg::Series epoch_series(const Report& report, const char* name, int colour,
                         std::optional<double> EpochRecord::*member) {
  svg::Series series{.name = name, .colour = colour};
  for (const auto& epoch : report.epochs) {
    if (!(epoch.*member)) continue;
    series.x.push_back(static_cast<double>(epoch.epoch));
    series.y.push_back(*(epoch.*member));
  }
  return series;
}

std::string epoch_chart(const Report& report, const char* title, bool as_percent,
                        std::optional<double> EpochRecord::*train,
                        std::optional<double> EpochRecord::*validation) {
  svg::Chart chart{.title = title,
                   .x_label = "epoch",
                   .y_label = title,
                   .x_integers = true,
                   .percent = as_percent};
  auto add = [&](svg::Series series) {
    if (!series.x.empty()) chart.series.push_back(std::move(series));
  };
  add(epoch_series(report, "training", 0, train));
  add(epoch_series(report, "validation", 1, validation));
  return chart.series.empty() ? "" : svg::chart(chart);
}
}  // namespace

std::string training_section(const Report& report) {
  if (report.epochs.empty()) return "";
  std::string out = "<div class=\"grid2\">";
  out +=
      epoch_chart(report, "Loss", false, &EpochRecord::train_loss, &EpochRecord::validation_loss);
  out += epoch_chart(report, "Accuracy", true, &EpochRecord::train_accuracy,
                     &EpochRecord::validation_accuracy);
  out += "</div>\n";

  struct Column {
    const char* title;
    std::optional<double> EpochRecord::*member;
    std::string (*format)(double);
  };
  const Column columns[] = {
      {"train loss", &EpochRecord::train_loss, [](double loss) { return fixed(loss, 4); }},
      {"train accuracy", &EpochRecord::train_accuracy,
       [](double share) { return percent(share, 1); }},
      {"validation loss", &EpochRecord::validation_loss,
       [](double loss) { return fixed(loss, 4); }},
      {"validation accuracy", &EpochRecord::validation_accuracy,
       [](double share) { return percent(share, 1); }},
      {"learning rate", &EpochRecord::learning_rate,
       [](double number) { return svg::number(number); }},
      {"time", &EpochRecord::seconds, duration},
      {"samples/s", &EpochRecord::samples_per_second,
       [](double rate) { return human_count(std::llround(rate)); }},
      {"data wait", &EpochRecord::data_wait_percent,
       [](double share) { return fixed(share, 1) + " %"; }},
  };
  std::vector<std::string> titles = {"epoch"};
  std::vector<Column> shown;
  for (const auto& column : columns) {
    bool any = std::any_of(report.epochs.begin(), report.epochs.end(),
                           [&](const auto& epoch) { return (epoch.*column.member).has_value(); });
    if (any) shown.push_back(column), titles.emplace_back(column.title);
  }
  Table table(titles);
  for (const auto& epoch : report.epochs) {
    std::vector<Cell> cells = {count(epoch.epoch)};
    for (const auto& column : shown) cells.push_back(optional(epoch.*column.member, column.format));
    table.row(cells);
  }
  bool few = report.epochs.size() <= 12;
  return out + (few ? table.html()
                    : "<details><summary>Every epoch</summary>" + table.html() + "</details>\n");
}

std::string timing_section(const Report& report) {
  Table table({"<quantity", "value"});
  bool any = false;
  auto row = [&](const char* name, const std::optional<double>& number, auto format) {
    if (!number) return;
    any = true;
    table.row({named(name), optional(number, format)});
  };
  row("Step time, median", report.step_seconds, duration);
  row("Step time, 90th percentile", report.step_seconds_p90, duration);
  row("Step time, predicted", report.predicted_step_seconds, duration);
  if (report.step_seconds && report.predicted_step_seconds && *report.step_seconds > 0) {
    double off = *report.predicted_step_seconds / *report.step_seconds - 1;
    row("Prediction error", off, [](double share) { return percent(share, 1); });
  }
  row("First step, compiling included", report.first_step_seconds, duration);
  row("Training", report.train_seconds, duration);
  row("Samples per second", report.samples_per_second,
      [](double rate) { return human_count(std::llround(rate)); });
  row("Time spent waiting for data", report.data_wait_percent,
      [](double share) { return fixed(share, 1) + " %"; });
  return any ? table.html() : "";
}

namespace {
std::string profile_table(const char* title, const std::vector<ProfileRow>& rows, int64_t steps) {
  Table table({title, "time per step", "share", "<", "GFLOP/s", "GB/s", "% of roofline"});
  double divisor = static_cast<double>(std::max<int64_t>(1, steps));
  auto rate = [](double amount, double seconds) -> Cell {
    return seconds > 0 && amount > 0 ? value(fixed(amount / seconds / 1e9, 1)) : Cell{"–"};
  };
  for (const auto& row : rows) {
    table.row({named(row.name), value(duration(row.seconds / divisor)),
               value(percent(row.share, 1)), bar(row.share), rate(row.flops, row.seconds),
               rate(row.bytes, row.seconds),
               optional(row.roofline, [](double share) { return percent(share, 0); })});
  }
  return table.html();
}
}  // namespace

std::string profile_section(const Report& report) {
  if (!report.profile || report.profile->nodes.empty()) return "";
  const Profile& profile = *report.profile;
  std::string peaks = peaks_text(profile);
  std::string text = "Measured over " + human_count(profile.steps) +
                     (profile.steps == 1 ? " step" : " steps") + " on " + profile.device + ".";
  if (!peaks.empty()) {
    text += " The roofline is the least time that the measured peaks of " + peaks +
            " allow for the same work; 100 % is the bound, which only data that stays in caches "
            "can pass.";
  }
  return hint(text) + profile_table("<layer", by_layer(profile), profile.steps) +
         "<details><summary>By kernel</summary>" +
         profile_table("<kernel", by_kernel(profile), profile.steps) + "</details>\n";
}

std::string memory_section(const Report& report) {
  if (!report.memory) return "";
  const MemoryUse& use = *report.memory;
  svg::Bars bars{.title = ""};
  int colour = 0;
  for (const auto& [name, bytes] : use.parts) {
    bars.bars.push_back({name, bytes, human_bytes(bytes), colour++});
  }
  bars.bars.push_back({"planned in all", use.planned_bytes, human_bytes(use.planned_bytes), 7});
  if (use.measured_bytes) {
    std::string text = human_bytes(*use.measured_bytes);
    if (use.planned_bytes > 0) {
      double off = (*use.measured_bytes / use.planned_bytes - 1) * 100;
      text += str(" (", off < 0 ? "" : "+", fixed(off, 1), " %)");
    }
    bars.bars.push_back({"measured peak", *use.measured_bytes, text, 1});
  }
  std::string out = hint(
      "Planned before the first step, against the growth of the process's peak "
      "resident memory.");
  if (!use.measured_bytes) out += hint("The measured peak is unavailable.");
  return out + svg::bars(bars);
}

std::string selection_section(const Report& report) {
  if (report.selection.empty()) return "";
  auto any = [&](std::optional<double> Prediction::*member) {
    return std::any_of(report.selection.begin(), report.selection.end(),
                       [&](const auto& row) { return (row.*member).has_value(); });
  };
  struct Column {
    const char* title;
    std::optional<double> Prediction::*member;
    std::string (*format)(double);
  };
  std::vector<Column> columns = {{"predicted step", &Prediction::step_seconds, duration}};
  const Column extra[] = {
      {"measured step", &Prediction::measured_step_seconds, duration},
      {"memory", &Prediction::memory_bytes, human_bytes},
      {"energy/step, J", &Prediction::energy_joules,
       [](double number) { return svg::number(number); }},
      {"cost", &Prediction::cost, [](double number) { return svg::number(number); }}};
  for (const auto& column : extra) {
    if (any(column.member)) columns.push_back(column);
  }
  std::vector<std::string> titles = {"<device", "<precision", "threads"};
  for (const auto& column : columns) titles.emplace_back(column.title);
  titles.emplace_back("<remark");
  Table table(titles);
  for (const auto& row : report.selection) {
    std::vector<Cell> cells = {named(row.device + (row.chosen ? " (chosen)" : "")),
                               fact(row.precision),
                               row.threads > 0 ? count(row.threads) : Cell{"–"}};
    for (const auto& column : columns) cells.push_back(optional(row.*column.member, column.format));
    cells.push_back(fact(row.remark));
    table.row(cells, row.chosen ? "chosen" : "");
  }
  return hint(
             "What the model was predicted to need on each device, from its operations, its memory "
             "traffic and the measured peaks.") +
         table.html();
}

std::string facts_section(const Facts& list) {
  if (list.empty()) return "";
  Table table({"<name", "<value"});
  for (const auto& [name, text] : list) {
    table.row({named(name), fact(text.empty() ? unavailable : text)});
  }
  return table.html();
}

}  // namespace wafer::eval
