#include "wafer/eval/svg.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "wafer/base/error.h"

namespace wafer::eval::svg {

std::string escape(std::string_view text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      default:
        // Control characters are not allowed in XML and mean nothing in a name.
        result += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return result;
}

std::string shortened(std::string_view text, size_t length) {
  size_t characters = 0, cut = text.size();
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) continue;  // inside a character
    if (characters + 1 == length) cut = i;
    if (++characters > length) return std::string(text.substr(0, cut)) + "…";
  }
  return std::string(text);
}

std::string number(double value, int digits) {
  if (!std::isfinite(value)) return "unavailable";
  char text[40];
  double size = std::abs(value);
  if (size != 0 && (size < 1e-4 || size >= 1e9)) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    return text;
  }
  int whole = size < 1 ? 1 : static_cast<int>(std::log10(size)) + 1;
  std::snprintf(text, sizeof text, "%.*f", std::max(0, digits - whole), value);
  std::string result = text;
  if (result.find('.') != result.npos) {
    while (result.back() == '0') result.pop_back();
    if (result.back() == '.') result.pop_back();
  }
  return result == "-0" ? "0" : result;
}

std::vector<double> ticks(double low, double high, int count, bool integers) {
  if (!(high > low)) return {low};
  double rough = (high - low) / count, power = std::pow(10, std::floor(std::log10(rough)));
  double step = power * 10;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (power * factor >= rough * 0.999) {
      step = power * factor;
      break;
    }
  }
  if (integers) step = std::max(1.0, std::round(step));
  std::vector<double> result;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) {
    result.push_back(i * step);
  }
  return result;
}

namespace {
constexpr double chart_width = 520, chart_height = 300;

std::string at(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string text_at(double x, double y, const char* anchor, const std::string& escaped,
                    const char* classes = "label") {
  return str("<text class=\"", classes, "\" x=\"", at(x), "\" y=\"", at(y), "\" text-anchor=\"",
             anchor, "\">", escaped, "</text>");
}

std::string line(double x1, double y1, double x2, double y2, const char* classes) {
  return str("<line class=\"", classes, "\" x1=\"", at(x1), "\" y1=\"", at(y1), "\" x2=\"", at(x2),
             "\" y2=\"", at(y2), "\"/>");
}

std::string open_figure(const std::string& title, double width, double height) {
  std::string safe = escape(title);
  std::string caption = title.empty() ? "" : str("<figcaption>", safe, "</figcaption>");
  return str("<figure>", caption, "<svg role=\"img\" aria-label=\"", safe, "\" viewBox=\"0 0 ",
             at(width), " ", at(height), "\" style=\"max-width:", static_cast<int>(width * 1.25),
             "px\">");
}

struct Axis {
  double low = 0, high = 1;
  std::vector<double> marks;
};

Axis axis_of(const Chart& chart, bool horizontal) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double low = infinity, high = -infinity;
  for (const auto& series : chart.series) {
    for (double value : horizontal ? series.x : series.y) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (low > high) low = 0, high = 1;
  const auto& fixed_low = horizontal ? chart.x_low : chart.y_low;
  const auto& fixed_high = horizontal ? chart.x_high : chart.y_high;
  low = fixed_low.value_or(low);
  high = fixed_high.value_or(high);
  if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high)) || high <= low) {
    double margin = std::max(0.5, std::abs(low) * 0.1);
    low -= margin, high += margin;
  }
  bool integers = horizontal && chart.x_integers;
  Axis axis{low, high, ticks(low, high, horizontal ? 6 : 5, integers)};
  if (axis.marks.size() > 1 && !integers) {
    double step = axis.marks[1] - axis.marks[0];
    if (!fixed_low && axis.marks.front() > low + step * 1e-9) {
      axis.low = axis.marks.front() - step;
      axis.marks.insert(axis.marks.begin(), axis.low);
    }
    if (!fixed_high && axis.marks.back() < high - step * 1e-9) {
      axis.high = axis.marks.back() + step;
      axis.marks.push_back(axis.high);
    }
  }
  return axis;
}

struct Frame {
  double left = 58, right = chart_width - 12, top = 10, bottom = chart_height - 42;
  Axis x, y;
  double px(double value) const {
    return left + (value - x.low) / (x.high - x.low) * (right - left);
  }
  double py(double value) const {
    return bottom - (value - y.low) / (y.high - y.low) * (bottom - top);
  }
};

std::string draw_series(const Series& series, const Frame& frame, double bar_width) {
  std::string colour = "c" + std::to_string(series.colour % 10), path, points;
  size_t count = std::min(series.x.size(), series.y.size());
  bool pen_down = false;
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) {
      pen_down = false;
      continue;
    }
    double x = frame.px(series.x[i]), y = frame.py(series.y[i]);
    if (series.mark == Mark::bars) {
      double half = bar_width / 2, base = frame.py(std::max(0.0, frame.y.low));
      double left = frame.px(series.x[i] - half), right = frame.px(series.x[i] + half);
      points += str("<rect class=\"fill ", colour, "\" x=\"", at(left + 0.75), "\" y=\"",
                    at(std::min(y, base)), "\" width=\"", at(std::max(0.5, right - left - 1.5)),
                    "\" height=\"", at(std::abs(base - y)), "\"><title>", number(series.x[i]), ": ",
                    number(series.y[i]), "</title></rect>");
      continue;
    }
    if (series.mark == Mark::line) path += str(pen_down ? "L" : "M", at(x), " ", at(y));
    pen_down = true;
    if (series.mark == Mark::points || (count <= 40 && !series.dashed)) {
      points +=
          str("<circle class=\"fill ", colour, "\" cx=\"", at(x), "\" cy=\"", at(y), "\" r=\"",
              series.mark == Mark::points ? "2.2" : "2.6", "\"><title>", escape(series.name), " ",
              number(series.x[i]), ": ", number(series.y[i]), "</title></circle>");
    }
  }
  if (!path.empty()) {
    path = str("<path class=\"series ", colour, series.dashed ? " dashed" : "", "\" d=\"", path,
               "\"/>");
  }
  return path + points;
}

std::string legend(const std::vector<Series>& series) {
  std::string items;
  for (const auto& one : series) {
    if (one.name.empty()) continue;
    items += str("<li><span class=\"key c", one.colour % 10, one.dashed ? " dashed" : "",
                 "\"></span>", escape(one.name), "</li>");
  }
  return items.empty() ? "" : "<ul class=\"legend\">" + items + "</ul>";
}
}  // namespace

std::string chart(const Chart& chart) {
  Frame frame;
  frame.x = axis_of(chart, true);
  frame.y = axis_of(chart, false);
  std::string out = open_figure(chart.title, chart_width, chart_height);
  for (double mark : frame.y.marks) {
    double y = frame.py(mark);
    out += line(frame.left, y, frame.right, y, "grid");
    std::string text = chart.percent ? number(mark * 100, 3) + " %" : number(mark);
    out += text_at(frame.left - 7, y + 4, "end", text);
  }
  for (double mark : frame.x.marks) {
    double x = frame.px(mark);
    out += line(x, frame.bottom, x, frame.bottom + 4, "axis");
    out += text_at(x, frame.bottom + 17, "middle", number(mark));
  }
  out += line(frame.left, frame.bottom, frame.right, frame.bottom, "axis");
  if (chart.diagonal) {
    out += line(frame.left, frame.bottom, frame.right, frame.top, "diagonal");
  }
  for (const auto& series : chart.series) out += draw_series(series, frame, chart.bar_width);
  out += text_at((frame.left + frame.right) / 2, chart_height - 6, "middle", escape(chart.x_label),
                 "label name");
  double middle = (frame.top + frame.bottom) / 2;
  out += str("<text class=\"label name\" text-anchor=\"middle\" transform=\"translate(13 ",
             at(middle), ") rotate(-90)\">", escape(chart.y_label), "</text>");
  return out + "</svg>" + legend(chart.series) + "</figure>";
}

std::string heat_map(const HeatMap& map) {
  size_t n = map.names.size();
  WAFER_CHECK(map.shares.size() == n * n);
  double cell = std::clamp(560 / static_cast<double>(std::max<size_t>(n, 1)), 7.0, 46.0);
  bool labels = cell >= 11, texts = cell >= 24 && map.texts.size() == n * n;
  std::vector<std::string> names;
  size_t longest = 0;
  for (const auto& name : map.names) {
    names.push_back(shortened(name, 14));
    longest = std::max(longest, std::min<size_t>(name.size(), 14));
  }
  double margin = labels ? 14 + 6.6 * static_cast<double>(longest) : 8;
  double left = margin + 20, top = margin * 0.75 + 22, side = cell * static_cast<double>(n);
  double overhang = labels ? margin * 0.7 : 8;
  std::string out = open_figure(map.title, left + side + overhang, top + side + 6);
  out += text_at(left + side / 2, 12, "middle", escape(map.column_label), "label name");
  out += str("<text class=\"label name\" text-anchor=\"middle\" transform=\"translate(12 ",
             at(top + side / 2), ") rotate(-90)\">", escape(map.row_label), "</text>");
  for (size_t i = 0; i < n; ++i) {
    double place = (static_cast<double>(i) + 0.5) * cell;
    if (labels) {
      out += text_at(left - 7, top + place + 4, "end", escape(names[i]));
      out += str("<text class=\"label\" transform=\"translate(", at(left + place + 3), " ",
                 at(top - 6), ") rotate(-42)\">", escape(names[i]), "</text>");
    }
    for (size_t j = 0; j < n; ++j) {
      double share = std::clamp(map.shares[i * n + j], 0.0, 1.0);
      double x = left + static_cast<double>(j) * cell, y = top + place - cell / 2;
      // Mistakes are a few percent of a row: the root makes them visible beside the diagonal.
      double shade = i == j ? share : std::min(1.0, 1.3 * std::sqrt(share));
      out +=
          str("<rect class=\"", i == j ? "good" : "bad", "\" x=\"", at(x), "\" y=\"", at(y),
              "\" width=\"", at(cell - 1), "\" height=\"", at(cell - 1), "\" rx=\"",
              cell > 14 ? "2" : "0", "\" fill-opacity=\"", number(0.05 + 0.95 * shade, 2), "\">");
      if (map.tooltips.size() == n * n) {
        out += "<title>" + escape(map.tooltips[i * n + j]) + "</title>";
      }
      out += "</rect>";
      if (texts && !map.texts[i * n + j].empty()) {
        out += text_at(x + (cell - 1) / 2, y + cell / 2 + 3.5, "middle",
                       escape(map.texts[i * n + j]), shade > 0.75 ? "cell on" : "cell");
      }
    }
  }
  return out + "</svg></figure>";
}

std::string bars(const Bars& bars) {
  double longest = 0, highest = 0, widest = 0;
  for (const auto& bar : bars.bars) {
    longest = std::max(longest, static_cast<double>(std::min<size_t>(bar.label.size(), 28)));
    widest = std::max(widest, static_cast<double>(bar.text.size()));
    highest = std::max(highest, bar.value);
  }
  constexpr double width = 640, pitch = 26;
  double left = longest * 6.8 + 12, room = width - left - widest * 6.6 - 16;
  double height = pitch * static_cast<double>(bars.bars.size()) + 4;
  std::string out = open_figure(bars.title, width, height);
  double y = 2;
  for (const auto& bar : bars.bars) {
    double length = highest > 0 ? std::max(0.0, bar.value) / highest * room : 0;
    out += text_at(left - 8, y + 17, "end", escape(shortened(bar.label, 28)));
    out += str("<rect class=\"fill c", bar.colour % 10, "\" x=\"", at(left), "\" y=\"", at(y + 4),
               "\" width=\"", at(length), "\" height=\"", at(pitch - 8), "\" rx=\"2\"/>");
    out += text_at(left + length + 7, y + 17, "start", escape(bar.text));
    y += pitch;
  }
  return out + "</svg></figure>";
}

}  // namespace wafer::eval::svg
