#pragma once
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "wafer/eval/report.h"
#include "wafer/eval/svg.h"

// What the parts of the report share: how numbers, names and tables are written.
namespace wafer::eval {

inline constexpr const char* unavailable = "unavailable";

// "70.1 %" for 0.701, "unavailable" for what is not finite.
std::string percent(double share, int decimals);
std::string fixed(double value, int decimals);
// With three digits or so: "812 µs", "12.30 ms", "4.2 s".
std::string duration(double seconds);

// The name of a class, not escaped; "class 3" where the report has none.
std::string class_name(const Report& report, int64_t index);

struct Confusion {
  int64_t label, predicted, count;
  double share;  // of the examples of `label`
};
// The most frequent mistakes, most frequent first.
std::vector<Confusion> worst_confusions(const ConfusionMatrix& matrix, size_t count);

// The style sheet of the page.
extern const char* const report_style;

// The sections of the page, as HTML; empty where the report has nothing for them.
std::string training_section(const Report& report);
std::string results_section(const Report& report);
std::string regression_section(const Report& report);
std::string confusion_section(const Report& report);
std::string classes_section(const Report& report);
std::string curves_section(const Report& report);
std::string calibration_section(const Report& report);
std::string worst_section(const Report& report);
std::string timing_section(const Report& report);
std::string profile_section(const Report& report);
std::string memory_section(const Report& report);
std::string selection_section(const Report& report);
std::string facts_section(const Facts& facts);

// Pieces of the page: each takes plain text and escapes it.
namespace page {

struct Cell {
  std::string html;        // already safe
  const char* kind = "n";  // the class of the cell: n (number), name, fact, bars
};
Cell named(const std::string& name);
Cell fact(const std::string& text);
Cell count(int64_t value);
Cell value(const std::string& text);
Cell missing();
Cell bar(double share);  // a bar whose length is a share of the cell

template <class Format>
Cell optional(const std::optional<double>& number, Format format) {
  return number && std::isfinite(*number) ? value(format(*number)) : missing();
}

class Table {
 public:
  // A title that begins with '<' is of a column of text, others of numbers.
  explicit Table(const std::vector<std::string>& titles);
  void row(const std::vector<Cell>& cells, const char* kind = "");
  std::string html() const { return html_ + "</tbody></table></div>\n"; }

 private:
  std::string html_;
};

std::string hint(const std::string& text);

}  // namespace page
}  // namespace wafer::eval
