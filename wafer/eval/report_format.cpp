#include "wafer/eval/report_format.h"

#include <algorithm>
#include <cstdio>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"

namespace wafer::eval {

std::string class_name(const Report& report, int64_t index) {
  auto i = static_cast<size_t>(index);
  return i < report.class_names.size() ? report.class_names[i] : "class " + std::to_string(index);
}

std::string percent(double share, int decimals) {
  if (!std::isfinite(share)) return unavailable;
  return fixed(share * 100, decimals) + " %";
}

std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return unavailable;
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds)) return unavailable;
  if (seconds < 1e-3) return fixed(seconds * 1e6, 0) + " µs";
  if (seconds < 0.1) return fixed(seconds * 1e3, 2) + " ms";
  if (seconds < 1) return fixed(seconds * 1e3, 0) + " ms";
  return human_seconds(seconds);
}

std::vector<Confusion> worst_confusions(const ConfusionMatrix& matrix, size_t count) {
  std::vector<Confusion> pairs;
  auto support = matrix.row_sums();
  for (int64_t label = 0; label < matrix.classes; ++label) {
    for (int64_t predicted = 0; predicted < matrix.classes; ++predicted) {
      int64_t times = matrix(label, predicted);
      if (label == predicted || times == 0) continue;
      double share =
          static_cast<double>(times) / static_cast<double>(support[static_cast<size_t>(label)]);
      pairs.push_back({label, predicted, times, share});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const auto& a, const auto& b) { return a.count > b.count; });
  if (pairs.size() > count) pairs.resize(count);
  return pairs;
}

namespace page {
using svg::escape;

Cell named(const std::string& name) {
  return {escape(name), "name"};
}

Cell fact(const std::string& text) {
  return {escape(text), "fact"};
}

Cell count(int64_t value) {
  return {human_count(value)};
}

Cell value(const std::string& text) {
  return text == unavailable ? missing() : Cell{escape(text)};
}

Cell missing() {
  return {str("<span class=\"missing\">", unavailable, "</span>")};
}

Cell bar(double share) {
  std::string width = svg::number(std::clamp(share, 0.0, 1.0) * 100, 3);
  return {"<span class=\"bar\" style=\"width:" + width + "%\"></span>", "bars"};
}

Table::Table(const std::vector<std::string>& titles) {
  html_ = "<div class=\"scroll\"><table><thead><tr>";
  for (const auto& title : titles) {
    bool text = !title.empty() && title[0] == '<';
    html_ += str("<th", text ? "" : " class=\"n\"", ">", escape(title.substr(text)), "</th>");
  }
  html_ += "</tr></thead><tbody>";
}

void Table::row(const std::vector<Cell>& cells, const char* kind) {
  html_ += *kind ? str("<tr class=\"", kind, "\">") : "<tr>";
  for (const auto& cell : cells) {
    html_ += str("<td class=\"", cell.kind, "\">", cell.html, "</td>");
  }
  html_ += "</tr>";
}

std::string hint(const std::string& text) {
  return "<p class=\"hint\">" + escape(text) + "</p>\n";
}

}  // namespace page
}  // namespace wafer::eval
