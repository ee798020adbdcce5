#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Plots as inline SVG inside an HTML <figure>. Colours come from the page's style sheet (classes
// c0..c9, grid, axis, good, bad), so that they follow its light or dark mode. All names are
// escaped.
namespace wafer::eval::svg {

// Text made safe for HTML and XML, in content and in quoted attributes.
std::string escape(std::string_view text);

// At most `length` characters (UTF-8 code points), the last one an ellipsis when something was cut.
std::string shortened(std::string_view text, size_t length);

// A number with about `digits` significant digits, without trailing zeros.
std::string number(double value, int digits = 4);

// Round numbers (1, 2 or 5 times a power of ten apart) within [low, high], about `count` of them.
std::vector<double> ticks(double low, double high, int count, bool integers = false);

enum class Mark { line, points, bars };

struct Series {
  std::string name;          // in the legend; empty: none
  std::vector<double> x, y;  // points where either is not finite are left out
  Mark mark = Mark::line;
  int colour = 0;  // class c0..c9
  bool dashed = false;
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  std::optional<double> x_low, x_high, y_low,
      y_high;  // default: the range of the data, widened to ticks
  bool x_integers = false;
  bool percent = false;   // the y axis is labelled 0..100 % for 0..1
  double bar_width = 0;   // of Mark::bars, in units of x
  bool diagonal = false;  // a thin line from corner to corner
};
std::string chart(const Chart& chart);

// Rows by columns of shares in 0..1 with a text each; the diagonal is drawn in the colour for
// right, the rest in the colour for wrong.
struct HeatMap {
  std::string title, row_label, column_label;
  std::vector<std::string> names;     // of rows and columns, [n]
  std::vector<double> shares;         // [n, n]
  std::vector<std::string> texts;     // [n, n], or empty for none
  std::vector<std::string> tooltips;  // [n, n], or empty for none
};
std::string heat_map(const HeatMap& map);

// Horizontal bars with a label at the left and a text at the right.
struct Bars {
  std::string title;
  struct Bar {
    std::string label;
    double value = 0;
    std::string text;
    int colour = 0;
  };
  std::vector<Bar> bars;
};
std::string bars(const Bars& bars);

}  // namespace wafer::eval::svg
